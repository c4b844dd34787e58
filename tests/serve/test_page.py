"""The page in a real browser: by mouse, by keyboard, on a phone, in the dark; nothing from outside becomes HTML."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from serve.conftest import Client, Serve

HOSTILE = "<img/src=x/onerror=alert(1)>"


@pytest.fixture
def page(browser: Browser, client: Client) -> Iterator[Page]:
    yield from opened(browser, client)


def opened(browser: Browser, client: Client, **settings: Any) -> Iterator[Page]:
    """The page, ready; at the end nothing may have been logged as an error, or been asked of elsewhere."""
    context = browser.new_context(**settings)
    found, errors, asked = context.new_page(), [], []

    def logged(message: ConsoleMessage) -> None:
        # A refusal of the server is logged by the browser itself, and shown by the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            errors.append(message.text)

    found.on("console", logged)
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("dialog", lambda dialog: errors.append(f"a dialog: {dialog.message}"))
    found.on("request", lambda request: asked.append(request.url))
    found.set_default_timeout(20_000)
    found.goto(f"http://127.0.0.1:{client.port}/")
    yield found
    context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((f"http://127.0.0.1:{client.port}/", "data:", "blob:"))] == []


def predict(page: Page, task: str, *texts: str) -> None:
    page.locator(f"#task option[value={task}]").wait_for(state="attached")
    page.select_option("#task", task)
    for place, text in enumerate(texts):
        page.fill(f"#input-{place}", text)
    page.get_by_role("button", name="Predict").click()


def rows(page: Page) -> list[list[str]]:
    page.locator("#results tbody tr").first.wait_for()
    found = page.locator("#results tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in found]


def test_a_table_a_plot_and_a_file(page: Page, client: Client, tmp_path: Path) -> None:
    predict(page, "conform", f">{HOSTILE}\nACGTACGT\n>two\nTTGACA\n")
    shown = rows(page)
    expected = client.predict("conform", "ACGTACGT", "TTGACA").json["results"]
    assert [row[0] for row in shown] == [HOSTILE, "two"]
    for row, wanted in zip(shown, expected, strict=True):
        assert row[1:3] == [wanted["answer"], f"{wanted['probability']:.4f}"]
        assert row[3:] == [*(f"{p:.4f}" for p in wanted["probabilities"].values()), "Letters"]
    assert page.locator("#plot svg rect").count() == 20
    assert page.locator("#plot rect").first.bounding_box() is not None
    assert "p(Conform) of 2 records" in page.locator("#plot svg").get_attribute("aria-label")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download TSV").click()
    download.value.save_as(tmp_path / "answers.tsv")
    lines = (tmp_path / "answers.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["id", "label", "probability", "p(Conform not)", "p(Conform)"]
    assert lines[1].split("\t") == shown[0][:-1]


def test_a_number_a_pair_and_a_refusal(page: Page) -> None:
    predict(page, "strength", "acgtacgt")  # bare letters are one record
    ((name, value, _),) = rows(page)
    assert name == "sequence"
    assert -0.3 <= float(value) <= 1.2
    predict(page, "pair", ">g\nACGTAC", ">p\nMKLV")
    page.locator("#results td", has_text="g").first.wait_for()
    assert rows(page)[0][1] in {"no", "yes"}
    predict(page, "conform", ">x\nMKVLQ")
    page.locator("#status.bad").wait_for()
    assert "outside the DNA alphabet" in page.inner_text("#status")


def test_the_letters_that_mattered_by_keyboard(page: Page, client: Client) -> None:
    predict(page, "conform", f">one\nACGTACGT\n>{HOSTILE}\nTTGACATT\n")
    rows(page)
    button = page.get_by_role("button", name=f"Letters that mattered in {HOSTILE}")
    button.focus()
    page.keyboard.press("Enter")
    page.locator("#letters .logo").first.wait_for()
    assert page.evaluate("document.activeElement.id") == "letters"
    assert page.inner_text("#letters-title") == f"The letters that mattered in {HOSTILE}"
    assert page.locator("#letters .logo").count() == 2
    drawn = page.locator("#letters .logo").first
    assert "Strongest: " in drawn.get_attribute("aria-label")
    assert drawn.locator("text.letter").first.bounding_box() is not None
    record = {"id": HOSTILE, "sequences": ["TTGACATT"]}
    told = client.post("/v1/explain", {"task": "conform", "record": record}).json
    shown = page.locator("#letters").inner_text()
    assert f"{told['answer']} at {100 * told['probability']:.1f} %; {told['output']} {told['value']:.3f}." in shown
    # A new table has letters of its own; of written answers there are none.
    predict(page, "flags", ">one\nACGTACGT")
    page.locator("#results th:nth-child(2):last-child").wait_for()
    assert page.locator("#letters").is_hidden()
    assert page.get_by_role("button", name="Letters that").count() == 0


def test_a_dropped_file_is_read(page: Page) -> None:
    page.locator("#input-0").wait_for()
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File([">dropped\\nACGTACGT\\n"], "genes.fa"));
          const dropped = new DragEvent("drop", { dataTransfer: data, cancelable: true });
          document.getElementById("input-0").dispatchEvent(dropped);
        }"""
    )
    page.wait_for_function("document.getElementById('input-0').value.startsWith('>dropped')")
    page.get_by_role("button", name="Predict").click()
    assert rows(page)[0][0] == "dropped"


def test_by_keyboard_alone(page: Page) -> None:
    page.locator("#input-0").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-predict"
    page.keyboard.press("ArrowRight")
    assert page.locator("#chat").is_visible()
    page.keyboard.press("ArrowRight")
    page.locator("#card h3", has_text="Limits").wait_for()
    assert page.locator("#card table").count() >= 1
    page.keyboard.press("ArrowRight")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.type(">k\nACGTACGT")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert rows(page)[0][0] == "k"


def test_chat_streams_an_answer_and_goes_on(page: Page) -> None:
    page.get_by_role("tab", name="Chat").click()
    for number, text in enumerate([f"Does it conform?\n<dna>ACGT</dna> {HOSTILE}", "And now?"], 1):
        page.fill("#message", text)
        page.keyboard.press("Enter")
        page.locator("#stop:disabled").wait_for()
        page.wait_for_function(f"document.querySelectorAll('#said .user').length === {number}")
        page.wait_for_function("document.getElementById('stop').disabled")
    assert page.locator("#said .user").first.inner_text().endswith(HOSTILE)
    page.get_by_role("button", name="New conversation").click()
    assert page.locator("#said p").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, client: Client, scheme: str) -> None:
    for page in opened(browser, client, viewport={"width": 340, "height": 640}, color_scheme=scheme, has_touch=True):
        predict(page, "conform", ">a_rather_long_name_of_a_record_from_some_data_base\nACGTACGT")
        assert len(rows(page)[0][0]) > 40
        page.get_by_role("button", name="Letters that mattered").tap()
        page.locator("#letters .logo").first.wait_for()
        assert page.locator("#letters .logo svg").first.bounding_box()["width"] > 250
        for tab in ("Predict", "Chat", "Model card"):
            page.get_by_role("tab", name=tab).tap()
            assert page.evaluate("document.documentElement.scrollWidth") <= 340
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]


def test_a_key_is_asked_for_and_used(browser: Browser, serve: Serve) -> None:
    client = serve(key="s3cret")
    for page in opened(browser, client):
        page.locator("#key-form").wait_for()
        assert "no API key" in page.inner_text("#status")
        page.fill("#key", "s3cret")
        page.keyboard.press("Enter")
        predict(page, "conform", ">a\nACGTACGT")
        assert rows(page)[0][0] == "a"
