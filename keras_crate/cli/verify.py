"""Downloads a variant's weights if they are not on this machine, checks their hashes, and prints a
fingerprint of the weights and the outputs for a fixed input. With --imagenet, also prints the
accuracy.

    keras-crate verify crate_demo_mnist
    keras-crate verify crate_alpha_base_imagenet21k_imagenet --imagenet val/
"""

from keras_crate.hub import verify


def add_arguments(parser) -> None:
    parser.add_argument("variant", metavar="VARIANT", 
                        help="a name that `keras-crate weights` lists")  # fmt: skip
    parser.add_argument(
        "--imagenet", metavar="FOLDER", help="validation images, with one folder for each class, "
        "named by WordNet identifier or by the class",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=32, metavar="N",
                        help="images at a time (default: %(default)s)")  # fmt: skip


def run(arguments) -> None:
    print(verify(arguments.variant, imagenet=arguments.imagenet, batch_size=arguments.batch_size))
