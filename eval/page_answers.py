"""The list of all answers on report.html: question, right answer, what each model said, findings underlined."""

from eval.judged import Judged
from eval.markup import marked, text
from eval.paired import Comparison

SHOWN_CHARACTERS = 1200
SHOWN_FINDINGS = 4


def all_answers(comparison: Comparison) -> str:
    """Every question as a closed detail, and the filters that a script brings to life."""
    last = comparison.answers[-1].values()
    verdicts = _options(["right", "wrong", "lost", "gained", "collapsed", "unreal names"])
    rows = "".join(_answer(comparison, id) for id in comparison.answers[0])
    return (
        '<section><h2>All answers</h2><form class="filters" hidden><label>Search <input name="text" type="search"></label>'
        f'<label>Verdict <select name="verdict"><option value="">all</option>{verdicts}</select></label>'
        f'<label>Theme <select name="theme"><option value="">all</option>{_options([a.theme for a in last if a.theme])}</select></label>'
        f'<label>Group <select name="group"><option value="">all</option>{_options([a.group for a in last])}</select></label>'
        f'<span id="count" role="status"></span></form>{rows}</section>'
    )


def _options(values: list[str]) -> str:
    return "".join(f"<option>{text(value)}</option>" for value in dict.fromkeys(values))


def _answer(comparison: Comparison, id: str) -> str:
    answers = [found[id] for found in comparison.answers]
    last = answers[-1]
    mark = "✓ right" if last.right else f"✗ {text(last.theme or 'wrong')}: {text(last.reason)}"
    given = "".join(map(_given, comparison.names, answers, (None, *comparison.names), (None, *answers)))
    return (
        f'<details data-verdict="{"|".join(_verdicts(answers))}" data-theme="{text(last.theme)}" data-group="{text(last.group)}">'
        f'<summary>{text(id)} <span class="{"better" if last.right else "worse"}">{mark}</span></summary>'
        f"<h3>Question</h3><pre>{text(last.question)}</pre><h3>Right</h3><pre>{text(last.gold)}</pre>{given}</details>"
    )


def _verdicts(answers: list[Judged]) -> list[str]:
    """What the filter knows the last answer by."""
    last = answers[-1]
    found = ["right" if last.right else "wrong"] + ["collapsed"] * (last.collapse is not None) + ["unreal names"] * bool(last.unreal)
    if len(answers) > 1 and answers[-2].right != last.right:
        found.append("gained" if last.right else "lost")
    return found


def _given(name: str, answer: Judged, before: str | None, answer_before: Judged | None) -> str:
    """A model's answer with what is to be said of it; once where the model before it gave the same."""
    verdict = "right" if answer.right else answer.reason
    collapse = f", {answer.collapse}" if answer.collapse else ""
    head = f"<h3>{text(name)}: {text(verdict)}{text(collapse)}</h3>"
    if answer_before and answer.answer == answer_before.answer:
        return f"{head}<p>The answer of {text(before)}.</p>"
    notes = [f"⚠ {finding['code']}: {finding['message']}" for finding in answer.findings[:SHOWN_FINDINGS]]
    if answer.unreal:
        notes.append(f"⚠ names that do not exist: {', '.join(answer.unreal)}")
    if answer.result is not None:
        notes.append(f"result: {answer.result}")
    if answer.differs_in:
        notes.append(f"differs from gold in {', '.join(answer.differs_in).replace('_', ' ')}")
    listed = f"<ul>{''.join(f'<li>{text(note)}</li>' for note in notes)}</ul>" if notes else ""
    return f"{head}<pre>{marked(answer, SHOWN_CHARACTERS)}</pre>{listed}"
