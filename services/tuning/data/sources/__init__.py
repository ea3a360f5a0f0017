"""Files of each kind -> rows. Nothing here knows what a row is for."""
