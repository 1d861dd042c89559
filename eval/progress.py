"""How far a long piece of work is: a bar on a terminal, a line a minute elsewhere, the cost at the end."""

import sys
import time

LINE_EVERY_S, BAR_EVERY_S = 60, 0.5


class Progress:
    """Answers and tokens so far, on stderr: a bar on a terminal, a line a minute elsewhere, the cost at the end."""

    def __init__(self, total: int, what: str) -> None:
        from tqdm import tqdm

        self.total, self.what, self.answers, self.tokens = total, what, 0, 0
        self.began = self.shown = time.monotonic()
        self.cpu = time.process_time()
        watched = sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=what, unit="answer", dynamic_ncols=True, leave=False) if watched else None

    def note(self, *, is_answer: bool) -> None:
        """One more token, perhaps the last one of an answer."""
        self.tokens += 1
        self.answers += is_answer
        now = time.monotonic()
        if now - self.shown < (BAR_EVERY_S if self.bar else LINE_EVERY_S):
            return
        self.shown = now
        if self.bar:
            self.bar.n = self.answers
            self.bar.set_postfix_str(f"{self.tokens:,} tokens")
        else:
            print(f"{self.what} {self.answers}/{self.total}, {self.tokens:,} tokens", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar:
            self.bar.close()

    def end(self, *, prompt_tokens: int) -> None:
        self.close()
        wall, cpu = time.monotonic() - self.began, time.process_time() - self.cpu
        cost = f"{prompt_tokens:,} + {self.tokens:,} tokens in {wall:.0f} s, {cpu:.0f} CPU-seconds"
        print(f"{self.total} answers: {cost}", file=sys.stderr)
