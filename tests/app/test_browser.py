"""The page in a real browser: Debian's Chromium, driven by Playwright."""

import io
import os
import shutil

import pytest

pytest.importorskip("gradio")
pytest.importorskip("playwright")

import numpy as np
from app_pages import header_of_png
from PIL import Image
from playwright import sync_api

pytestmark = pytest.mark.any_backend
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURE, MARK, CLASSES = "#left .crate-picture", "#left .crate-picture i", "#left .crate-classes"
TITLE, HEADING, ALERT = "#left h3", "#left h4", "#message [role=alert]"
WAIT = 60_000  # ms, on a busy machine


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: apt-get install chromium")
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        with playwright.chromium.launch(executable_path=CHROMIUM, args=options) as browser:
            yield browser


@pytest.fixture(scope="module")
def opened(browser, served):
    """Opens the page as one user. Afterwards, errors and requests to other hosts are reported."""
    found, pages = [], []

    def open_page(**settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("request", lambda request: found.extend(_abroad(request.url, served.address)))
        page.goto(served.address)
        page.wait_for_selector(PICTURE)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert found == []


def _abroad(url: str, address: str) -> list[str]:
    return [] if url.startswith((address, "data:", "blob:")) else [f"requested {url[:200]}"]


@pytest.fixture(scope="module")
def page(opened):
    return opened()


def _has(page, selector: str, text: str) -> None:
    sync_api.expect(page.locator(selector).first).to_contain_text(text, timeout=WAIT)


def _pick(page, name: str) -> None:
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name=name, exact=True).click()
    _has(page, TITLE, name)


def _upload(page, name: str, content: bytes) -> None:
    page.get_by_role("tab", name="Your image").click()
    clear = page.get_by_role("button", name="Clear", exact=True).and_(page.locator(":visible"))
    if clear.count():
        clear.first.click()
    file = {"name": name, "mimeType": "image/png", "buffer": content}
    page.locator("input[type=file]").first.set_input_files(file)


def _file(image: Image.Image, kind: str, **options) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def test_it_shows_the_first_model_at_once(page):
    _has(page, TITLE, "crate_fashion_mnist")
    _has(page, CLASSES, "Ankle boot")
    _has(page, HEADING, "Block 5: what the class token attends to")
    assert page.locator("#left .crate-heads img").count() == 4
    assert page.locator("#curves svg").count() == 2
    assert page.title() == "Keras CRATE"


def test_a_click_shows_what_a_patch_attends_to(page):
    before = page.locator("#left .crate-heads img").first.get_attribute("src")
    box = page.locator(PICTURE).bounding_box()
    page.locator(PICTURE).click(
        position={"x": box["width"] * 2.5 / 7, "y": box["height"] * 4.5 / 7}
    )
    _has(page, HEADING, "the patch in row 4, column 2")
    place = page.locator(MARK).bounding_box()
    assert place["x"] == pytest.approx(box["x"] + box["width"] * 2 / 7, abs=2)
    assert place["y"] == pytest.approx(box["y"] + box["height"] * 4 / 7, abs=2)
    assert page.locator("#left .crate-heads img").first.get_attribute("src") != before
    page.get_by_role("button", name="Class token").click()
    _has(page, HEADING, "the class token")
    assert page.locator(MARK).count() == 0


def test_the_slider_goes_through_the_blocks(page):
    before = page.locator("#curves .crate-here").first.get_attribute("x1")
    page.get_by_role("spinbutton", name="Block").fill("1")
    page.keyboard.press("Enter")
    _has(page, HEADING, "Block 1")
    _has(page, "#left .crate-top", "Tokens after block 1")
    assert page.locator("#curves .crate-here").first.get_attribute("x1") != before


def test_an_example_and_another_model_beside(page):
    page.get_by_role("button", name="Example 3").click()
    _has(page, CLASSES, "Trouser")
    page.get_by_label("the same model, untrained").check()
    _has(page, "#right h3", "crate_fashion_mnist, untrained")
    assert page.locator("#curves polyline").count() == 4
    page.locator("#right .crate-picture").click(position={"x": 3, "y": 3})
    for panel in ("#left", "#right"):
        _has(page, f"{panel} h4", "the patch in row 0, column 0")
    page.get_by_label("a plain ViT", exact=True).check()
    _has(page, "#right h3", "a plain ViT")
    _pick(page, "crate_deep_fashion_mnist")  # 14 by 14 patches beside 7 by 7
    _has(page, "#right h3", "a plain ViT")
    side = page.locator(PICTURE).bounding_box()["width"]
    page.locator(PICTURE).click(position={"x": side * 0.99, "y": side * 0.99})
    _has(page, HEADING, "row 13, column 13")
    _has(page, "#right h4", "row 6, column 6")
    _pick(page, "crate_fashion_mnist")
    page.get_by_label("nothing").check()
    sync_api.expect(page.locator("#right")).to_be_hidden(timeout=WAIT)


def test_a_masked_autoencoder_completes_the_image(page):
    _pick(page, "crate_mae_fashion_mnist")
    assert page.locator(CLASSES).count() == 0
    masked = page.locator("#completion img").first
    before = masked.get_attribute("src")
    page.get_by_role("spinbutton", name="Hidden patches").fill("30")
    page.keyboard.press("Enter")
    sync_api.expect(masked).not_to_have_attribute("src", before, timeout=WAIT)
    few = masked.get_attribute("src")
    page.get_by_role("button", name="Hide other patches").click()
    sync_api.expect(masked).not_to_have_attribute("src", few, timeout=WAIT)


def test_a_drawing_is_classified(page):
    _pick(page, "crate_demo_mnist")
    page.get_by_role("tab", name="Draw").click()
    box = page.locator("canvas").bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + 0.52 * side, y + 0.15 * side)
    page.mouse.down()
    page.mouse.move(x + 0.48 * side, y + 0.85 * side, steps=8)
    page.mouse.up()
    sync_api.expect(page.locator(f"{CLASSES} tr").first).to_contain_text("1", timeout=WAIT)
    _has(page, f"{CLASSES} tr", "1")
    assert float(page.locator(f"{CLASSES} td").first.inner_text().rstrip("%")) > 50


def test_images_of_many_kinds_are_opened_as_in_predict(page):
    _pick(page, "crate_fashion_mnist")
    grey = Image.fromarray(np.linspace(0, 255, 64 * 48).reshape(64, 48).astype("uint8"))
    frames = [grey.convert("P"), grey.rotate(90, expand=True).resize(grey.size).convert("P")]
    files = {
        "cmyk.jpg": _file(grey.convert("CMYK"), "jpeg"),
        "moving.gif": _file(frames[0], "gif", save_all=True, append_images=frames[1:]),
        "alpha.png": _file(grey.convert("RGBA"), "png"),
    }
    for name, content in files.items():
        page.get_by_role("tab", name="Examples").click()
        page.get_by_role("button", name="Example 1").click()
        _has(page, CLASSES, "Ankle boot")
        before = page.locator(f"{PICTURE} img").get_attribute("src")
        _upload(page, name, content)
        picture = sync_api.expect(page.locator(f"{PICTURE} img"))
        picture.not_to_have_attribute("src", before, timeout=WAIT)
        assert page.locator(ALERT).count() == 0, name


def test_what_cannot_be_opened_is_told_in_a_sentence(page):
    deep = Image.fromarray(np.arange(64, dtype="uint16").reshape(8, 8) * 1000)
    for name, content, message in (
        ("text.png", b"this is text", "not an image"),
        ("large.png", header_of_png(20_000, 20_000), "too many pixels: at most 50 million"),
        ("deep.png", _file(deep, "png"), "pixels must have 8 bits"),
    ):
        _upload(page, name, content)
        _has(page, ALERT, message)
    assert "Traceback" not in page.content() and "Ankle boot" in page.locator(CLASSES).inner_text()
    page.get_by_role("tab", name="Examples").click()
    page.get_by_role("button", name="Example 1").click()
    sync_api.expect(page.locator(ALERT)).to_have_count(0, timeout=WAIT)
    page.get_by_label("Model", exact=True).fill("/nowhere.keras")
    page.keyboard.press("Enter")
    _has(page, ALERT, "There is no model file /nowhere.keras")


def test_keyboard_only_on_a_narrow_screen(opened):
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True)
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    scroll, width = page.evaluate(widths)
    assert scroll <= width <= 390

    def tab_to(selector: str) -> None:
        for _ in range(40):
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("[aria-label='Example 3']")
    page.keyboard.press("Enter")
    _has(page, CLASSES, "Trouser")
    tab_to("input[type=range]")
    # An answer that is still on its way puts the slider back.
    heading = page.locator(HEADING).first
    for _ in range(20):
        page.keyboard.press("Home")
        page.wait_for_timeout(1000)
        if "Block 0" in heading.text_content():
            break
    _has(page, HEADING, "Block 0")
    tab_to(".crate-picture")
    for key, place in (
        ("ArrowDown", "row 3, column 3"), ("ArrowUp", "row 2, column 3"),
        ("ArrowLeft", "row 2, column 2"),
    ):  # fmt: skip
        page.keyboard.press(key)
        _has(page, HEADING, place)
        page.wait_for_function("document.activeElement.matches('.crate-picture')")
    page.keyboard.press("Escape")
    _has(page, HEADING, "the class token")
    assert page.evaluate(widths)[0] <= 390


def test_dark_mode(opened):
    page = opened(color_scheme="dark")
    colour = "(s) => getComputedStyle(document.querySelector(s)).{}.match(/\\d+/g).map(Number)"
    background = page.evaluate(colour.format("backgroundColor"), ".gradio-container")
    assert max(background[:3]) < 60
    for selector in (HEADING, "#left figcaption", f"{CLASSES} th", "#curves figcaption"):
        assert min(page.evaluate(colour.format("color"), selector)[:3]) > 150, selector
    assert min(page.evaluate(colour.format("fill"), "#curves text")[:3]) > 150


def test_two_users_do_not_mix(opened):
    first, second = opened(), opened()
    first.get_by_role("button", name="Example 3").click()
    second.get_by_role("button", name="Example 6").click()
    _has(first, f"{CLASSES} tr", "Trouser")
    _has(second, f"{CLASSES} tr", "Sandal")
    first.locator(PICTURE).click(position={"x": 3, "y": 3})
    _has(first, HEADING, "the patch in row 0, column 0")
    second.get_by_role("spinbutton", name="Block").fill("2")
    second.keyboard.press("Enter")
    _has(second, HEADING, "Block 2: what the class token attends to")
    _has(first, HEADING, "Block 5: what the patch in row 0, column 0")
    _has(first, f"{CLASSES} tr", "Trouser")
