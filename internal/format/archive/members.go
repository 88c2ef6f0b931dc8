package archive

// Member is one gzip member of an archive.
type Member struct {
	// Offset and Length bound it, in bytes of the archive.
	Offset, Length int64
	// First is the position in the index of the first of its entries.
	First   int
	Entries []Entry
}

// Members are those that hold an entry that is wanted, in order. wanted is asked for the positions of the index.
func (x Index) Members(wanted func(i int) bool) []Member {
	var members []Member
	for i := 0; i < len(x); {
		end, needed := i, false
		for ; end < len(x) && x[end].Offset == x[i].Offset; end++ {
			needed = needed || wanted(end)
		}
		if needed {
			members = append(members, Member{Offset: x[i].Offset, Length: x[i].Length, First: i, Entries: x[i:end]})
		}
		i = end
	}
	return members
}

// Span is a part of an archive that is read at once.
type Span struct {
	// Offset and Length bound it, in bytes of the archive.
	Offset, Length int64
	Members        []Member
}

// Spans joins members that are at most gap bytes apart, as long as a span has not more than most bytes: another request
// costs more than a few bytes that nobody needs.
func Spans(members []Member, gap, most int64) []Span {
	var spans []Span
	for _, m := range members {
		if n := len(spans); n > 0 {
			last := &spans[n-1]
			end := m.Offset + m.Length
			if m.Offset-(last.Offset+last.Length) <= gap && end-last.Offset <= most {
				last.Length = end - last.Offset
				last.Members = append(last.Members, m)
				continue
			}
		}
		spans = append(spans, Span{Offset: m.Offset, Length: m.Length, Members: []Member{m}})
	}
	return spans
}

// Of is a member's part of the bytes of the span.
func (s Span) Of(m Member, data []byte) []byte {
	from := m.Offset - s.Offset
	return data[from : from+m.Length]
}
