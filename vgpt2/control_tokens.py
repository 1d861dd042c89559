"""Control tokens (<|im_start|>, </s>) apart from text that merely looks like them.

A template joins its own control tokens and what people wrote into one text. Here the control strings of the contents are hidden while the
template renders, the template's own are exchanged for stand-ins that no text can hold, and a copy of the tokenizer knows the control
tokens by these stand-ins only. Then the text can be tokenised as a whole, and none of it becomes a control token but the template's.
"""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Unicode keeps these code points out of text for ever: HIDE id SHOW is a control string that somebody wrote, OPEN id CLOSE a stand-in
HIDE, SHOW, OPEN, CLOSE = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
RESERVED = re.compile(f"[{HIDE}-{CLOSE}]")
HIDDEN = re.compile(f"{HIDE}(\\d+){SHOW}")
STAND_IN = re.compile(f"{OPEN}(\\d+){CLOSE}")


class ControlTokens:
    """The control tokens of one tokenizer, from their strings to their ids."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = dict(ids)
        self._strings = {token_id: string for string, token_id in ids.items()}
        # longest first, so that a string is not read as a shorter one that it starts with
        self._pattern = re.compile("|".join(map(re.escape, sorted(ids, key=len, reverse=True))) or "(?!)")

    def hide(self, content: str) -> tuple[str, int]:
        """`content` with each control string hidden from the template, and how many there were.

        Raises ValueError for the code points that stand-ins are made of.
        """
        if found := RESERVED.search(content):
            raise ValueError(f"content holds U+{ord(found[0]):04X}, a code point that Unicode keeps out of text; remove it")
        return self._pattern.subn(lambda match: f"{HIDE}{self._ids[match[0]]}{SHOW}", content)

    def show(self, text: str) -> str:
        """`text` with what was hidden as the plain text it is."""
        return HIDDEN.sub(lambda match: self._strings[int(match[1])], text)

    def stand_in(self, rendered: str) -> str:
        """A template's text: its own control strings become stand-ins, hidden ones become plain text again."""
        return self.show(self._pattern.sub(lambda match: f"{OPEN}{self._ids[match[0]]}{CLOSE}", rendered))

    def plain(self, text: str) -> str:
        """`text` as people know it, with the control strings in place of their stand-ins."""
        return STAND_IN.sub(lambda match: self._strings[int(match[1])], text)

    def shield(self, tokenizer: "Tokenizer") -> "Tokenizer":
        """A copy of `tokenizer` in which the control tokens have the names of their stand-ins, and their own ids.

        It gives every text without control strings the ids that the original gives it, and adds no token of its own.
        Raises ValueError when a control token has no id of its own.
        """
        from tokenizers import Tokenizer

        names = {string: self.stand_in(string) for string in self._ids}
        spec = json.loads(tokenizer.to_str())
        for added in spec["added_tokens"]:
            added["content"] = names.get(added["content"], added["content"])
        model = spec["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {names.get(piece, piece): token_id for piece, token_id in model["vocab"].items()}
        else:  # Unigram: pairs (piece, score)
            model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        spec |= {"post_processor": None, "truncation": None, "padding": None}  # they could only add or cut tokens
        shielded = Tokenizer.from_str(json.dumps(spec))
        for string, token_id in self._ids.items():
            if shielded.token_to_id(names[string]) != token_id:
                raise ValueError(f"control token {string!r} has no id of its own; mend added_tokens in tokenizer.json")
        return shielded
