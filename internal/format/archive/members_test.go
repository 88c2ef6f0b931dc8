package archive

import (
	"slices"
	"testing"
)

func TestSpansHoldEveryMemberThatIsWanted(t *testing.T) {
	data, index := newArchive(t, 2000)
	for _, tt := range []struct {
		name      string
		wanted    func(i int) bool
		gap, most int64
		// spans is how many there are; negative for as many as members.
		spans int
	}{
		{"nothing", func(int) bool { return false }, 1 << 20, 1 << 30, 0},
		{"one object", func(i int) bool { return i == 1000 }, 0, 1 << 30, 1},
		{"all, joined", func(int) bool { return true }, 0, 1 << 30, 1},
		{"all, in small spans", func(int) bool { return true }, 0, 1, -1},
		{"the first and the last, apart", func(i int) bool { return i == 0 || i == len(index)-1 }, 10, 1 << 30, 2},
		{"the first and the last, with what is between", func(i int) bool { return i == 0 || i == len(index)-1 }, 1 << 30, 1 << 30, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			members := index.Members(tt.wanted)
			spans := Spans(members, tt.gap, tt.most)
			want := tt.spans
			if want < 0 {
				want = len(members)
			}
			if len(spans) != want {
				t.Errorf("%d spans of %d members, want %d", len(spans), len(members), want)
			}
			seen := make([]bool, len(index))
			for _, s := range spans {
				part := data[s.Offset : s.Offset+s.Length]
				for _, m := range s.Members {
					i := m.First
					err := ReadMember(s.Of(m, part), m.Entries, func(o Object) error {
						if o.ObjectRef != index[i].ObjectRef {
							t.Errorf("entry %d is %v", i, o.ObjectRef)
						}
						seen[i] = true
						i++
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			for i := range index {
				if tt.wanted(i) && !seen[i] {
					t.Errorf("entry %d was not read", i)
				}
			}
			if !slices.Contains(seen, true) && want > 0 {
				t.Error("nothing was read")
			}
		})
	}
}
