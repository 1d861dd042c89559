"""The table, the JSON and the page. Whatever a model says, it stays text on the page."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import tiny_judge
from tiny_judge import accepter, gold, silent

from eval import page, report, suites
from eval.judged import Judge
from eval.paired import compare
from eval.report import Setting
from vgpt2.datagen.names.real import load_names

VOID = {"meta", "input", "line", "circle", "br"}
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> </pre></details></main><h1>DPO wins</h1> &lt;b&gt; \" ' ` ]]> <!-- --> "
    "<style>*{display:none}</style><svg onload=alert(1)> {{7*7}} ${7} \x00\x1b[31m\u202eevil\u2066 \ud800 "
)


class Tree(HTMLParser):
    """Tags as they open and close; fails on one that closes out of order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


def parsed(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert tree.open == []
    return tree


@pytest.fixture(scope="module")
def judge():
    with Judge(load_names(tiny_judge.CATALOGUE_FOLDER)) as found:
        yield found


@pytest.fixture
def judged_report(tmp_path, judge):
    path = tmp_path / "suite.jsonl"
    items = tiny_judge.write_suite(path)
    chosen = suites.load([str(path)])

    def build(name: str, model) -> dict:
        setting = Setting(name, None, "off", "c" * 64, "p" * 64, {"model": "m" * 64})
        return report.build(setting, chosen, [[judge(item, model(item))] for item in items], [])

    return build


def test_the_table_has_a_row_of_meaning_a_line(judged_report):
    text = report.table(compare([judged_report("base", accepter), judged_report("sft", gold)]))
    lines = text.splitlines()
    assert lines[0].split() == ["base", "sft", "want"]
    cells = {line[:40].strip(): [cell for cell in line[40:].split("  ") if cell] for line in lines[1:17]}
    assert [cell.strip() for cell in cells["real objects accepted, listed"]] == ["10/10 [72-100]", "10 same", ">= 95 %"]
    assert [cell.strip() for cell in cells["fake objects refused, listed"]] == ["0/10 [0-28]", "10 better", ">= 95 %"]
    # both ends move by (1 - .7225) / 2: see test_intervals
    assert [cell.strip() for cell in cells["objects, balanced accuracy, from memory"]] == ["50 % [36-64]", "100 % better"]
    assert [cell.strip() for cell in cells["joins on the whole key"]] == ["0/1 [0-79]", "1 cannot tell", ">= 90 %"]
    assert "46 questions" in text
    assert "\r" not in text


def test_a_report_is_read_back_and_holds_nothing_of_the_machine(judged_report, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        content = judged_report("sft", gold)
        report.write(content, compare([content]), folder)
        assert report.read(folder) == json.loads(json.dumps(content))
    for name in ("report.json", "report.md", "report.html"):
        text = (tmp_path / "a" / name).read_text("utf-8")
        assert str(tmp_path) not in text
        assert text == (tmp_path / "b" / name).read_text("utf-8")


def test_half_a_surrogate_pair_does_not_stop_a_report(judged_report, tmp_path):
    content = judged_report("sft", lambda _: "\ud800")
    report.write(content, compare([content]), tmp_path)
    assert report.read(tmp_path)["answers"][0]["answer"] == "?"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 99}', "[" * 100_000])
def test_what_is_no_report_is_refused_by_name(tmp_path, text):
    (tmp_path / "report.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"report\.json: is no report"):
        report.read(tmp_path)


def test_a_missing_report_says_how_to_make_it(tmp_path):
    with pytest.raises(ValueError, match=r"no such report; make it with python -m eval\.run"):
        report.read(tmp_path)


def test_hostile_answers_stay_text(judged_report):
    """The same page, tag for tag, as with harmless answers of the same verdicts; nothing of them in a tag or an attribute."""
    harmless = "DPO wins"  # the one word of the hostile text that looks like a name
    tame = parsed(page.render(compare([judged_report("base", lambda _: harmless), judged_report("sft", lambda _: harmless)])))
    html = page.render(compare([judged_report("base", lambda _: HOSTILE), judged_report("sft", lambda _: HOSTILE)]))
    hostile = parsed(html)
    assert hostile.count == tame.count
    assert hostile.attributes == tame.attributes
    assert "<script>alert(1)</script>" in hostile.text
    assert not any(sign in html for sign in "\x00\x1b\u202e\u2066")
    html.encode("utf-8")


def test_hostile_sql_findings_stay_text(judged_report):
    sql = '```sql\nSELECT [<script>x</script>] FROM [<b>"onload=1] WITH (NOLOCK)\n```'
    tree = parsed(page.render(compare([judged_report("sft", lambda _: sql)])))
    assert tree.count["script"] == 1
    assert "b" not in tree.count
    assert tree.count["u"] >= 1  # the finding's place is underlined


def test_hostile_questions_and_gold_stay_text(tmp_path, judge):
    rows = [{"id": HOSTILE[:30], "kind": "exists", "group": HOSTILE[:20], "expect": {"name": HOSTILE, "exists": True}}]
    path = tmp_path / "suite.jsonl"
    path.write_text("".join(json.dumps(row | {"messages": [{"role": "user", "content": HOSTILE}]}) + "\n" for row in rows), "utf-8")
    (suite,) = suites.load([str(path)])
    setting = Setting("sft", None, "off", "c", "p", {"answers": HOSTILE})
    content = report.build(setting, [suite], [[judge(item, "a")] for item in suite.items], [])
    tree = parsed(page.render(compare([content])))
    assert (tree.count["script"], tree.count["style"], tree.count["h1"]) == (1, 1, 1)
    assert "img" not in tree.count


def test_the_page_allows_its_own_style_and_script_and_nothing_else(judged_report):
    html = page.render(compare([judged_report("sft", gold)]))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    tree = parsed(html)
    assert not {"style", "onclick", "onload", "src", "href"} & tree.attributes
    assert "//" not in re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)  # no address


def test_the_page_reads_without_script_and_with_a_screen_reader(judged_report):
    html = page.render(compare([judged_report("base", accepter), judged_report("sft", gold)]))
    tree = parsed(html)
    assert '<html lang="en">' in html
    assert tree.count["h1"] == tree.count["main"] == 1
    assert re.findall(r"<th(?! scope=)[^e]", html) == []
    assert html.count('<svg role="img" aria-label="') == tree.count["svg"] == 21
    assert 'aria-label="100 %, 95 % interval 72 % to 100 %; first model 0 %"' in html
    assert '<form class="filters" hidden>' in html  # shown by the script that makes it work
    assert "sft is better than base on" in tree.text
    assert "What got worsenothing" in tree.text


def contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_stands_out_from_its_ground_in_both_themes():
    """WCAG 2.1, 1.4.3: at least 4.5 to 1."""
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", page.STYLE, re.DOTALL)]
    assert len(themes) == 2
    for theme in themes:
        for ink in ("ink", "soft", "good", "bad"):
            for ground in ("paper", "panel"):
                assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground, theme)


def test_an_answer_that_two_models_gave_stands_once(judged_report):
    answer = "Nearest name: APTH & APTL."
    rendered = page.render(compare([judged_report(name, lambda _: answer) for name in ("base", "sft", "dpo")]))
    listed = rendered[rendered.index("<h2>All answers</h2>") :]
    questions = len(judged_report("base", lambda _: answer)["answers"])
    assert listed.count("The answer of base.") == listed.count("The answer of sft.") == questions
    assert listed.count("Nearest name: APTH &amp; APTL.") == questions


def test_six_hundred_and_forty_answers_of_four_models_stay_under_two_megabytes(judged_report):
    reports = []
    for name in ("base", "sft", "dpo", "kto"):
        long_answer = f'The {name} table holds the <invoices> of a "vendor". ' * 8
        content = judged_report(name, lambda _, said=long_answer: said)
        some = content["answers"]
        content["answers"] = [answer | {"id": f"{answer['id']}-{n}"} for n in range(14) for answer in some][:640]
        reports.append(content)
    comparison = compare(reports)
    assert len(comparison.answers[0]) == 640
    assert len(page.render(comparison).encode()) < 2_000_000


def test_markdown_holds_no_answer(judged_report):
    text = report.markdown(compare([judged_report("sft", lambda _: HOSTILE)]))
    assert "<" not in text
    assert "| SQL that resolves | 0/3 [0-56] | >= 90 % |" in text


def test_a_finding_underlines_the_whole_name_at_its_place(judged_report):
    """The finding on an alias stands at its table, whose name is longer; a name is never cut."""
    sql = "```sql\nSELECT A.Foo FROM APTH A\n```"
    html = page.render(compare([judged_report("sft", lambda _: sql)]))
    assert set(re.findall(r"<u>(.*?)</u>", html)) == {"Foo", "APTH"}


def test_a_page_without_the_base_says_so_and_tells_date_command_and_latency(judged_report):
    content = judged_report("sft", gold)
    assert "no row of the base model" not in report.table(compare([content]))
    content["generation"] = {"adapter": "a" * 64}
    content["cost"] = {"date": "2026-01-02", "command": "python -m eval.run", "median_s": 1.5, "p95_s": 2.5, "tokens": 1234}
    comparison = compare([content])
    assert "no row of the base model" in report.table(comparison)
    said = parsed(page.render(comparison)).text
    for part in ("no row of the base model", "2026-01-02 · python -m eval.run", "1.50 s", "1,234"):
        assert part in said
    assert "no row of the base model" not in report.table(compare([judged_report("base", accepter), content]))


def test_a_page_of_failures_shows_three_of_different_groups(judged_report):
    wrong = [answer for answer in compare([judged_report("sft", silent)]).answers[0].values() if not answer.right]
    assert len({answer.group for answer in page._instructive(wrong)}) == 3
