"""What is made of mistakes: pairs of a right and a wrong answer, and queries to be corrected with what is wrong in them."""
