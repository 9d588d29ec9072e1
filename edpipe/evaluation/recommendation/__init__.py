"""How good a recommender is: order, order within a student, and chances, beside plain predictors."""
