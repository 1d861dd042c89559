from vgpt2.datagen.commands import progress


def test_a_piped_log_gets_a_line_a_minute_without_carriage_returns(monkeypatch, capsys):
    """Six updates, twenty seconds apart: two lines."""
    now_s = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    with progress.bar("questions", 600) as bar:
        for _ in range(6):
            now_s[0] += 20.0
            bar.update(100)
    assert capsys.readouterr().err == "questions: 300 of 600 rows after 60 s\nquestions: 600 of 600 rows after 120 s\n"


def test_work_of_unknown_size_has_no_total(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PAUSE_S", 0.0)
    with progress.bar("audit", 0) as bar:
        bar.update(7)
    assert capsys.readouterr().err == "audit: 7 rows after 0 s\n"
