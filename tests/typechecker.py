"""beartype with PEP 484's numeric tower: a whole number is a float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
