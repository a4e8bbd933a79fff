"""Policy: readable files in Cedar's language, checked when they are loaded, and decided from a table in memory.

What a policy means is what Cedar's specification says (docs.cedarpolicy.com), with the engine itself (`cedarpy`) as the
oracle of a property test, and these rules of our own:

- What no permit allows is denied. A satisfied forbid wins over everything; else a satisfied permit with `@ask("why")`
  means that a person must decide; else a satisfied permit allows.
- **Any error of evaluation denies** (`policy_failed`). Cedar skips a policy whose condition errs, so that a forbid that
  reads a missing attribute does not hold there. Here every condition of every policy whose scope fits is evaluated, and
  one that errs ends the call.
- An action type that is registered nowhere is denied, whatever a policy says.
- Every policy has an `@id`, once in all files. Other annotations are `@ask` and `@note`; an unknown one is an error.
- What the compiler does not know (templates, the extension types ip, decimal, datetime and duration, tags, reading an
  entity that is not part of the request) is an error when the file is loaded, with its line; never ignored.
- Arguments of a call are `context.arguments`. JSON's lists are sets, null is absent, and reading a number that is not
  whole, or outside 64 bits, is an error, because Cedar has no such values. What the caller left out has the tool's
  default.

The way of a policy: `source` (text to policies with their lines) → `schema` (Cedar's own validator) → `expressions`
(conditions to closures) → `table` (by subject and action) → `policy_set` (all of it, with a digest) → `keeper` (follows
the files while the colony runs). `explain`, `differences` and `expected` answer questions about a set.
"""
