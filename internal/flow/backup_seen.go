package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// seenObjects are the objects that the lists of a type have named up to now, in 33 bytes each. As long as they come in order,
// as Kubernetes sends them, and are of one moment nothing comes twice, and they are only noted; what has been streamed cannot
// be unwritten, so that later it is too late to begin.
type seenObjects struct {
	noted []seenObject
	// last is the path of the last one, after which all others come in order.
	last string
	// byPath is made once something may come twice: who had which path.
	byPath map[digest]seenObject
}

// seenObject is what an object is, where it would stand in the archive, and whether it does.
type seenObject struct {
	uid, path digest
	archived  bool
}

// digest is so much of a SHA-256 that nobody makes two alike.
type digest [16]byte

type seenResult int

const (
	// seenNever is an object that is new.
	seenNever seenResult = iota
	// seenBefore is one that came before.
	seenBefore
	// seenAsOther is one that has the name of another that came before.
	seenAsOther
)

// distrust says that something may come twice from now on.
func (s *seenObjects) distrust() {
	if s.byPath != nil {
		return
	}
	s.byPath = make(map[digest]seenObject, len(s.noted))
	for _, o := range s.noted {
		s.byPath[o.path] = o
	}
	s.noted = nil
}

// find says whether an object came before. The path of one that was left out is free for another.
func (s *seenObjects) find(m coffer.HeaderMetadata) (seenObject, seenResult) {
	path := m.Namespace + "/" + m.Name
	if path <= s.last {
		s.distrust()
	}
	s.last = path
	o := seenObject{uid: uidDigest(m.UID), path: digestOf(path)}
	first, known := s.byPath[o.path]
	switch {
	case !known:
		return o, seenNever
	case first.uid == o.uid:
		return o, seenBefore
	case first.archived:
		return o, seenAsOther
	}
	return o, seenNever
}

// note takes an object down.
func (s *seenObjects) note(o seenObject) {
	if s.byPath == nil {
		s.noted = append(s.noted, o)
	} else {
		s.byPath[o.path] = o
	}
}

// uidDigest is a UUID's own 16 bytes. UIDs of other forms, which API servers beside Kubernetes' own may have, are hashed.
func uidDigest(uid string) digest {
	var d digest
	if digits := strings.ReplaceAll(uid, "-", ""); len(digits) == 2*len(d) {
		if _, err := hex.Decode(d[:], []byte(digits)); err == nil {
			return d
		}
	}
	return digestOf(uid)
}

func digestOf(text string) digest {
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:16])
}
