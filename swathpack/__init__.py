"""SwathPack: onboard learned compression of multispectral satellite image time series.

In a checkout the parts (`edge`, `codec`, ...) are links to the folders of the same name beside this one, so that a
checkout, an editable install, type checkers and the wheel see the same modules. Importing this package loads nothing.
"""

__version__ = "0.2.0"
