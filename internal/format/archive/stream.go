package archive

import (
	"archive/tar"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

const (
	// maxStreamed bounds the objects of an archive that nothing vouches for. The largest clusters known have fewer.
	maxStreamed = 1_000_000
	// maxSkipped bounds its other entries: Velero writes every object twice, and folders are a few.
	maxSkipped = 2 * maxStreamed
	// freeUnpacking and unpackingTimes bound what it unpacks to. Kubernetes' JSON in a tar shrinks to about a tenth, small
	// equal objects to a fiftieth.
	freeUnpacking  = 256 << 20
	unpackingTimes = 200
)

// Stream reads an archive that has no index, as Velero's have none, and calls each for every object, in the archive's
// order. A later object of the same name takes the place of an earlier one, as it does where the tar is unpacked. A stream
// that is truncated or malformed, has more objects than any cluster, or unpacks to more than objects do, is an Error with
// CodeArchiveCorrupt. Errors of each end the reading and are returned as they are.
func Stream(r io.Reader, each func(Object) error) error { return stream(r, false, each) }

// StreamVersions is Stream for the copies at other versions as well, which stand beside the objects.
func StreamVersions(r io.Reader, each func(Object) error) error { return stream(r, true, each) }

func stream(r io.Reader, copies bool, each func(Object) error) error {
	ratio := bounded.Ratio{Free: freeUnpacking, Times: unpackingTimes}
	zipped, err := gzip.NewReader(ratio.In(r))
	if err != nil {
		return corrupt("archive: %w", err)
	}
	objects, others := 0, 0
	admit := func(_ *tar.Header, _ coffer.ObjectRef, isObject bool) error {
		if !isObject {
			others++
		} else {
			objects++
		}
		if objects > maxStreamed || others > maxSkipped {
			return corrupt("archive holds more than %d objects", maxStreamed)
		}
		return nil
	}
	return walk(ratio.Out(zipped), copies, admit, each)
}
