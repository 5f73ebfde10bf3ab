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
                member = package.members.get(name)
                target = member.final_target if getattr(member, "is_alias", False) else member
                if isinstance(target, griffe.Module) and name in target.members:
                    function = griffe.Alias(name, target.members[name], parent=package)
                    package.members[name] = function
