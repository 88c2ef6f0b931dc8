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
	joiner := Joiner{Gap: gap, Most: most}
	for _, m := range members {
		if done, ok := joiner.Add(m); ok {
			spans = append(spans, done)
		}
	}
	if rest, ok := joiner.Rest(); ok {
		spans = append(spans, rest)
	}
	return spans
}

// maxSpanEntries bounds what is listed for a span: small equal objects shrink to almost nothing, and their entries do not.
const maxSpanEntries = 5_000

// Joiner joins members to spans as Spans does, one after the other.
type Joiner struct {
	// Gap and Most are in bytes.
	Gap, Most int64

	last    Span
	entries int
}

// Add takes the next member, and answers the span before it if it does not belong to that.
func (j *Joiner) Add(m Member) (done Span, ok bool) {
	end := m.Offset + m.Length
	fits := m.Offset-(j.last.Offset+j.last.Length) <= j.Gap && end-j.last.Offset <= j.Most && j.entries+len(m.Entries) <= maxSpanEntries
	if len(j.last.Members) > 0 && fits {
		j.last.Length = end - j.last.Offset
		j.last.Members = append(j.last.Members, m)
		j.entries += len(m.Entries)
		return Span{}, false
	}
	done, ok = j.Rest()
	j.last, j.entries = Span{Offset: m.Offset, Length: m.Length, Members: []Member{m}}, len(m.Entries)
	return done, ok
}

// Rest is the last span, if there is one.
func (j *Joiner) Rest() (Span, bool) {
	rest := j.last
	j.last, j.entries = Span{}, 0
	return rest, len(rest.Members) > 0
}

// Of is a member's part of the bytes of the span.
func (s Span) Of(m Member, data []byte) []byte {
	from := m.Offset - s.Offset
	return data[from : from+m.Length]
}
