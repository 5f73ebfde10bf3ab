"""What prepares images for the backbones."""

from keras_hub.layers import ImageConverter


class HubImageConverter(ImageConverter):
    """An image converter that keeps its data format when it is saved."""

    def get_config(self) -> dict:
        return {**super().get_config(), "data_format": self.data_format}
