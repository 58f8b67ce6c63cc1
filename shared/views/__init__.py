"""What a status looks like to people and monitors: values in, text out. Imports model, rules, report and rotation."""
