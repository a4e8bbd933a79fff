"""What flows where: labels that data carries, whose words a value comes from, and which combinations need a person."""
