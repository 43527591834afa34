"""What is fitted, as data: columns, the prior and its calibration, the problem that a chain gets, the trees it gave."""
