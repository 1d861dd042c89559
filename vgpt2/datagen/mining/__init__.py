"""A model's own answers, judged and paired into DPO and KTO rows; and the practice questions that it answers."""
