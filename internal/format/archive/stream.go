package archive

import "io"

// maxStreamed bounds the objects of an archive that nothing vouches for. The largest clusters known have fewer.
const maxStreamed = 1_000_000

// Stream reads an archive that has no index, as Velero's have none, and calls each for every object, in the archive's
// order. A later object of the same name takes the place of an earlier one, as it does where the tar is unpacked. A stream
// that is truncated or malformed, or has more objects than any cluster, is an Error with CodeArchiveCorrupt. Errors of
// each end the reading and are returned as they are.
func Stream(r io.Reader, each func(Object) error) error {
	n := 0
	return walk(r, func(o Object) error {
		if n++; n > maxStreamed {
			return corrupt("archive holds more than %d objects", maxStreamed)
		}
		return each(o)
	})
}
