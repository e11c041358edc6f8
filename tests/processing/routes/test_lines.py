"""Where things stand in a TOML file, however it is written."""

from cluster.processing.routes.lines import Lines

TEXT = '''a = 1 # [x]
"b c" = """
d = 1
[e]
"""
f.g = 2

[h]
i = [
  { j = 1 },
  { k = [ 1,
     2] },
]
[[l]]
m = "[" # {
n = 3
[[l]]
n = { o = 1, p = 2 }
  [[l.q]]
  r = 1
  [[l.q]]
  r = 2
[ l.s . "t u" ]
v = 1
'''


def test_lines() -> None:
    """By headers and names; what is in a value belongs to it."""
    lines = Lines(TEXT)
    expected = {
        ("a",): 1,
        ("b c",): 2,
        ("f", "g"): 6,
        ("f",): 6,
        ("h",): 8,
        ("h", "i"): 9,
        ("h", "i", 0): 10,
        ("h", "i", 1): 11,
        ("h", "i", 1, "k"): 11,
        ("l", 0): 14,
        ("l", 0, "m"): 15,
        ("l", 0, "n"): 16,
        ("l", 1): 17,
        ("l", 1, "n", "p"): 18,
        ("l", 1, "q", 0, "r"): 20,
        ("l", 1, "q", 1): 21,
        ("l", 1, "s", "t u", "v"): 24,
        ("l", 1, "nothing"): 17,
        ("d",): None,
        ("e",): None,
    }

    assert expected == {path: lines.of(*path) for path in expected}
