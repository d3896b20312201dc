"""How a chain moves: one pure function for each sampler, all under one contract."""
