from generative.data.registry import source


@source("harmless", kind="pictures", summary="Goes with the module that registers it")
def harmless(config, opening): ...


@source("ring", kind="points", summary="Another ring")
def ring(config, opening): ...
