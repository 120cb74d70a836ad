"""./dev bench bonding: several unequal lines through mwtun, beside the same lines bare and alone."""
