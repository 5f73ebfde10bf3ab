"""Documents functions that have the name of their module, such as `keras_crate.models.fuse`.

For the parser, `keras_crate.models.fuse` is the module. For Python, and for a reader, it is the
function that the package imports from it.
"""

import griffe


class SameNames(griffe.Extension):
    """Puts such functions in the place of their modules."""

    def on_package(self, *, pkg: griffe.Module, **_) -> None:
        for package in (pkg, *pkg.modules.values()):
            for name in map(str, package.exports or ()):
                module = _module(package.members.get(name))
                if module is not None and name in module.members:
                    function = griffe.Alias(name, module.members[name], parent=package)
                    package.members[name] = function


def _module(member) -> griffe.Module | None:
    """The module that a member is or is imported from, if it is one."""
    if isinstance(member, griffe.Alias):
        try:
            member = member.final_target
        except griffe.AliasResolutionError:  # made later, or of another package
            return None
    return member if isinstance(member, griffe.Module) else None
