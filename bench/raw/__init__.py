"""Raw speed: what ./dev bench raw measures, of whom, and how it is told."""
