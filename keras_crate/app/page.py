"""The page: which parts it has, and what each event changes."""

import base64
import dataclasses
from html import escape
from pathlib import Path

from keras_crate.app import pictures
from keras_crate.app.examples import example_images
from keras_crate.app.inside import Seen
from keras_crate.app.models import VIT, Models

HERE = Path(__file__).parent
ALONE, UNTRAINED, BESIDE_VIT = "nothing", "the same model, untrained", "a plain ViT"
MOST_DRAWN = 500_000  # characters of a drawing
OTHERS = "Pick one, or type a file, a folder or hf://user/name."
TITLE = """# Look inside a white-box transformer
Pick a model and an image. Move the slider through the blocks.
Click a patch to see what it attends to."""
DRAWING = (
    '<canvas width="280" height="280" aria-label="Draw with the mouse or a finger"></canvas>'
    '<button type="button" class="crate-clear">Clear</button>'
)


@dataclasses.dataclass
class Session:
    """What one user looks at. Nothing of it is shared."""

    name: str
    source: Path | bytes
    seen: list[Seen]
    place: tuple[float, float] | None = None  # of the patch that attends, as in `Seen.patch_at`
    seed: int = 0


def build_page(models: Models):
    """Builds the page."""
    import gradio as gr  # `serve` says what to do without it

    def show(name, beside, source, session, block, progress=None):
        """Looks into the chosen models with an image, and draws everything."""
        source = source or (session and session.source) or example_images()[0]
        wanted = [(name, False)]
        if beside == UNTRAINED:
            wanted.append((name, True))
        elif beside == BESIDE_VIT and name != VIT:
            wanted.append((VIT, False))
        seen = []
        for number, of_model in enumerate(wanted):
            if progress:
                progress(number / len(wanted), f"opening {of_model[0]}")
            seen.append(models.look(models.open(*of_model), source))
        depth = max(of_model.depth for of_model in seen)
        slider = gr.Slider(maximum=max(depth - 1, 1), value=min(block, depth - 1))
        masked = gr.Column(visible=models.open(name).mae is not None)
        place, seed = (session.place, session.seed) if session else (None, 0)
        return Session(name, source, seen, place, seed), slider, masked

    def drawn(session: Session, block: int) -> tuple:
        """The panels and curves of a block."""
        place = session.place
        panels = [pictures.panel(seen, block, seen.patch_at(place)) for seen in session.seen]
        right = gr.HTML(panels[1], visible=True) if len(panels) > 1 else gr.HTML("", visible=False)
        return panels[0], right, pictures.curves(session.seen, block)

    def completed(session: Session, share: float) -> str:
        """The reconstruction of the image, if the model is a masked autoencoder."""
        opened = session and models.open(session.name)
        if not opened or opened.mae is None:
            return ""
        try:
            found = models.reconstruct(opened, session.source, share / 100, session.seed)
        except ValueError as error:  # the file is gone, or all patches are hidden
            return _message(error)
        return pictures.reconstruction(found)

    def everything(name, beside, source, session, block, share, progress=None) -> dict:
        try:
            new, slider, masked = show(name, beside, source, session, block, progress)
            parts = (*drawn(new, int(block)), completed(new, share))
        except (ValueError, OSError, ImportError) as error:
            return {message: _message(error)}
        return dict(zip(shown, (new, slider, masked, *parts, ""), strict=True))

    def on_model(name, beside, session, block, share, progress=gr.Progress()):  # noqa: B008
        return everything(name, beside, None, session, block, share, progress)

    def on_file(name, beside, session, block, share, file):
        if file is None:
            return {message: ""}
        return everything(name, beside, Path(file), session, block, share)

    def on_example(name, beside, session, block, share, event: gr.EventData):
        images = example_images()
        number = event._data.get("number")
        if number not in range(len(images)):
            return {message: _message("There is no such example.")}
        return everything(name, beside, images[number], session, block, share)

    def on_drawing(name, beside, session, block, share, event: gr.EventData):
        _, _, content = str(event._data.get("png"))[:MOST_DRAWN].partition(",")
        try:
            drawing = base64.b64decode(content, validate=True)
        except ValueError:
            drawing = b""
        return everything(name, beside, drawing or b"-", session, block, share)

    def on_patch(panel: int):
        def chosen(session, block, event: gr.EventData):
            if session is None:
                return [gr.skip()] * 4
            session.place = session.seen[panel].place_of(event._data.get("patch"))
            return session, *drawn(session, int(block))

        return chosen

    def on_block(session, block):
        return drawn(session, int(block)) if session else [gr.skip()] * 3

    def on_seed(session, share):
        if session:
            session.seed += 1
        return session, completed(session, share)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    latest = {**quiet, "trigger_mode": "always_last"}
    html = {"elem_classes": "crate", "apply_default_css": True}
    with gr.Blocks(title="Keras CRATE", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        session = gr.State(None, time_to_live=3600)
        gr.Markdown(TITLE)
        message = gr.HTML("", elem_classes="crate crate-message", elem_id="message")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                name = gr.Dropdown(
                    models.names,
                    value=models.first,
                    label="Model",
                    info=OTHERS if models.any_model else None,
                    allow_custom_value=models.any_model,
                )
                beside = gr.Radio([ALONE, UNTRAINED, BESIDE_VIT], value=ALONE, label="Beside it")
                with gr.Tab("Examples"):
                    examples = gr.HTML(_examples(), js_on_load=_script("examples.js"), **html)
                with gr.Tab("Your image"):
                    file = gr.File(
                        label="An image file", type="filepath", file_count="single", height=150
                    )
                with gr.Tab("Draw"):
                    drawing = gr.HTML(DRAWING, js_on_load=_script("draw.js"), **html)
            with gr.Column(scale=3, min_width=320):
                block = gr.Slider(0, 5, value=5, step=1, label="Block")
                with gr.Row():
                    left = gr.HTML(js_on_load=_script("panel.js"), elem_id="left", **html)
                    right = gr.HTML(
                        js_on_load=_script("panel.js"), elem_id="right", visible=False, **html
                    )
                plot = gr.HTML(elem_id="curves", **html)
                with gr.Column(visible=False) as masked:
                    share = gr.Slider(
                        10, 90, value=75, step=5, label="Hidden patches, per cent",
                    )  # fmt: skip
                    again = gr.Button("Hide other patches", size="sm")
                    completion = gr.HTML(elem_id="completion", padding=True, **html)

        shown = [session, block, masked, left, right, plot, completion, message]
        of_all = [name, beside, session, block, share]
        page.load(on_model, of_all, shown, api_visibility="private")
        for part in (name, beside):
            part.input(on_model, of_all, shown, api_visibility="private")
        file.change(on_file, [*of_all, file], shown, **quiet)
        examples.select(on_example, of_all, shown, **quiet)
        drawing.input(on_drawing, of_all, shown, **latest)
        for number, part in enumerate((left, right)):
            part.select(on_patch(number), [session, block], [session, left, right, plot], **latest)
        block.change(on_block, [session, block], [left, right, plot], **latest)
        share.change(completed, [session, share], completion, **latest)
        again.click(on_seed, [session, share], [session, completion], **latest)
    file.async_move_resource_to_block_cache = _uploads_only(file)
    return page


def _uploads_only(component):
    """Refuses addresses in the place of uploaded files, which Gradio would download."""
    move = component.async_move_resource_to_block_cache

    async def checked(path):
        if "://" in str(path):
            raise ValueError("Only uploaded files are read.")
        return await move(path)

    return checked


def _message(error: Exception | str) -> str:
    """The text of an error, as the page shows it."""
    return f'<p role="alert">{escape(" ".join(str(error).split())[:400])}</p>'


def _examples() -> str:
    buttons = (
        f'<button type="button" data-number="{k}" aria-label="Example {k + 1}">'
        f'<img alt="" src="{pictures.address_of(image)}">'
        "</button>"
        for k, image in enumerate(example_images())
    )
    return f'<div class="crate-examples">{"".join(buttons)}</div>'


def _script(name: str) -> str:
    return (HERE / name).read_text("utf8")
