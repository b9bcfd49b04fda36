"""The domains of a comparison, from the held-out sources."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.ablation.scores import Domain


def domains(sources: dict[str, tuple[str, bool]], curated: Sequence[str]) -> list[Domain]:
    """Return the domains of a comparison: curated, the components, sources held out whole, and every source.

    Args:
        sources: component and `out_of_domain` of every held-out source.
        curated: components of the domain `curated`.
    """
    within = {source: component for source, (component, outside) in sources.items() if not outside}
    found = []
    if chosen := tuple(sorted(source for source, component in within.items() if component in curated)):
        found.append(Domain("curated", "curated", chosen))
    for component in sorted(set(within.values())):
        chosen = tuple(sorted(source for source, of in within.items() if of == component))
        found.append(Domain(component, "component", chosen))
    outside = sorted(set(sources) - set(within))
    found += [Domain(source, "out of domain", (source,)) for source in outside]
    several = {domain.name for domain in found if len(domain.sources) > 1}
    found += [Domain(s, "source", (s,)) for s, component in sorted(within.items()) if component in several]
    return found
