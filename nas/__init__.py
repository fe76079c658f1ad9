"""Hardware-aware neural architecture search: NetAdaptV2 and classic NetAdapt."""
