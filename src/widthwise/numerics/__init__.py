"""Ground floor: linear algebra, spectra and quadrature. Knows no physics."""
