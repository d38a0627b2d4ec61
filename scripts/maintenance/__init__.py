"""What operators run now and then on data that are there already."""
