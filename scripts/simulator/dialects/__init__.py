"""The wire dialects: each module is one upstream's formats as data, drawn from its document in wire/."""
