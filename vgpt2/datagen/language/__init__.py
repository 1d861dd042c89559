"""How things are said: the sentences of questions, the forms of answers, words for names, when two texts are alike."""
