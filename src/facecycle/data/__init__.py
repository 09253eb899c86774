"""From pictures and videos to pairs of aligned faces: frames -> detect -> crop -> faceset -> pairs."""
