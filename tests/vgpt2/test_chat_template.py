import os
import subprocess
import sys

import pytest
import tiny_tokenizer

from vgpt2 import chat_template

VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
HOSTILE = {
    "escape by attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "escape by globals": "{{ messages.append.__globals__['os'].system('touch ran') }}",
    "big range": "{% for i in range(10**9) %}x{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "multiplication": "{{ 'a' * 10**10 }}",
    "width format": "{{ '%9999999999d' % 1 }}",
    "long text": "{{ 'a' * 3000000 }}",
    "only in conversations": "{{ messages[0].content }}{% if messages | length > 1 %}{{ 'a' * 10**10 }}{% endif %}",
    "not a template": "{% for %}",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of the child is limited on Linux only")
def test_a_hostile_template_is_refused_in_a_child(name, tmp_path, monkeypatch):
    """Threat 8: neither this process nor its files are touched, and the message is one line of at most 200 characters."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="refused after a trial") as caught:
        chat_template.try_out(HOSTILE[name], VARIABLES)
    assert os.listdir(tmp_path) == []
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


def test_an_honest_template_is_tried_once_in_a_process(monkeypatch):
    monkeypatch.setattr(chat_template, "_tried", set())
    chat_template.try_out(tiny_tokenizer.INST, VARIABLES)  # raises by itself for a system message
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("tried twice"))
    chat_template.try_out(tiny_tokenizer.INST, VARIABLES)


def test_a_date_is_the_same_on_every_day():
    """Else the same rows would have other tokens tomorrow, and no run could be resumed."""
    template = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ date_string }}"
    assert chat_template.render(template, [], {}, generation_prompt=False) == chat_template.DATE
    with pytest.raises(ValueError, match="put a fixed date"):
        chat_template.try_out("{{ strftime_now('%d %b %Y') }}", {})


@pytest.mark.parametrize(
    "template", ["{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ raise_exception('no\nsuch role') }}", "{{ messages[7].content }}"]
)
def test_what_a_template_says_is_one_line(template):
    with pytest.raises(ValueError, match="chat template: ") as caught:
        chat_template.render(template, [], {}, generation_prompt=False)
    assert "\n" not in str(caught.value)
