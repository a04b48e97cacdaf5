"""Earth: the planet that is built into every client (ZeroTierOne node/Topology.cpp).

A root that serves moons only says HELLO to its roots, so that nodes which live there find it.
"""

from base64 import b64decode
from typing import Final

from orrery.wire.world import World

EARTH: Final = World.decode(
    b64decode(
        "AQAAAAAI6skKAAABfulXYM24s4ikaSIUkaqazWbMdkze/VYDnxBnrhXmnG+0LXtVMw4/2qxSnAeS/XNApqohq6ikif2u"
        "pEo5vy0AZZrJyBjrNgCSdjfvTRQEpE1URoSFE3l1H6p5tMTqhQQBdeoGWGBIJALh6zQgUgAOYpAGGpvgzSk8i1Xxw9JS"
        "SAivxUkiCA41Oada3cPO8PatJg1YgpO7d4bnHvpLkFfa2YZ6/hLdBMr+nv65AMze92vHuX3tkE6rxd8JiG2cFRSmEANs"
        "uROcwhQAGilYl4787BVxLdOUjG5rOo6JPfAf9JPR+NmAaoYMVCBXG/AAAgRowgiGJwkGJgWYgAIAEgAAMAVxDjQAUScJ"
        "d4zecZAAP2aBqZ5a0Ylen7oz5iEtRFThaLzscRIQG/AAlW7Y6S5CiSy28uxBCIGoSrGdpQ4Sh7o9kmw6H3VczPKZoSBw"
        "VQACBGfDZ0InCQYmBZiABAAAwwJU8ryh9wAZJwli+GWucQDiB2xX3ocOYojX1edARAixVF78o31n93uH6eVBaMJdPvGp"
        "q/KQXqXnhcAd/yOIetQjLZXHqP0sJxEacr0VkyLcAAIEMgf8iicJBiABSfDQ2wACAAAAAAAAAAInCcr+BOupAGxqnR3q"
        "VcFha/4qK48P+ajKyvcDdPsfOeO++By/6+8XtyKCaKCiop00iMdSVlxslly9ZQbsJDl8yKXZ0VKFqH8AAgRUETWbJwkG"
        "KgJuoNQFAAAAAAAAAACZkycJ"
    )
)
