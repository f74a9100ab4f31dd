"""What a population is: members and their evaluations, objectives, genes and their space, names of random draws."""
