"""The English words by which a request is known: verbs that open one, and what may stand before them."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


VERBS = _set(
    """
    accept access activate add adjust allow answer append apply approve archive arrange ask assign attach author
    authorise authorize be become begin block book bring browse build buy call cancel change charge check choose
    claim clear click clone close collect combine come commit compile complete compose concatenate confirm connect
    contact convert copy create deactivate decline delegate delete deliver demote deploy deposit disable discard
    disclose display disregard distribute do donate download draft drop edit email empty enable encode enter erase
    escalate establish execute expose extend extract fetch fill find finish follow forget format forward gather
    generate get give go grant hand hide ignore import include inform initiate insert install invite invoke join
    keep launch leave let link list load locate log look mail make mark merge message modify move name navigate note
    notify open order organise organize output override overwrite pay perform pick place plan post prepare print
    proceed process promote provide publish pull purchase push put query quote read recommend record redirect refer
    refund register reject release remember remove rename rent replace reply report request reschedule reserve reset
    respond restart restore retrieve return reveal revoke rewrite run save say schedule search see select sell send
    set share show sign speak spend start state stop store submit subscribe suggest summarise summarize supply
    surrender switch tag take tell text tip transfer transform translate transmit treat trigger try turn tweet type
    uninstall unlock unsubscribe update upgrade upload use verify view visit wait watch wipe wire withdraw write
    """
)
"""Verbs in their base form, as a request begins with."""
LEADING = _set(
    """
    afterwards also always and but dear directly do don't finally first firstly hello hey hi immediately instead
    just kindly lastly never next not now ok okay only please quickly second secondly simply so then third to
    """
)
"""What may come before the verb of a request."""
