// Package image makes container images without a registry or a daemon.
//
// The same inputs give the same bytes: files are sorted, carry no times, and belong to whom the caller says.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// inputsLabel holds the digest of everything that an image was made of, so that an unchanged one is not made again.
const inputsLabel = "dev.coffer.lab.inputs"

// Entry is a file, folder or symbolic link in an image.
type Entry struct {
	// Path is absolute. Parent folders are added where they are missing.
	Path string
	// Mode holds the permission bits and fs.ModeDir or fs.ModeSymlink.
	Mode fs.FileMode
	UID  int
	GID  int
	// Source is the file on this machine that holds the content; Content is used where it is empty.
	Source  string
	Content []byte
	// Link is where a symbolic link leads.
	Link string
}

// Spec is an image to make.
type Spec struct {
	// Tag is the full name, such as localhost/coffer/toolbox:1.
	Tag     string
	Entries []Entry
	// Config is what the image says about running it. Platform and labels are filled in.
	Config v1.Config
}

// Build writes the image to a file that "lab image load" and "ctr images import" read. It reports false if the
// file is already there, made of the same inputs.
func Build(spec Spec, output string) (bool, error) {
	tag, err := name.NewTag(spec.Tag, name.StrictValidation)
	if err != nil {
		return false, fmt.Errorf("%q is not an image tag such as localhost/coffer/NAME:1: %w", spec.Tag, err)
	}
	entries, err := complete(spec.Entries)
	if err != nil {
		return false, err
	}
	inputs, err := digest(spec, entries)
	if err != nil {
		return false, err
	}
	if upToDate(output, tag, inputs) {
		return false, nil
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return openLayer(entries), nil },
		// Loaded on the same machine, uncompressed is quicker both ways.
		tarball.WithCompressionLevel(gzip.NoCompression))
	if err != nil {
		return false, fmt.Errorf("make the image layer: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return false, fmt.Errorf("make the image: %w", err)
	}
	config := spec.Config
	config.Labels = map[string]string{inputsLabel: inputs}
	file := &v1.ConfigFile{Architecture: architecture, OS: "linux", Created: v1.Time{Time: time.Unix(0, 0).UTC()}, Config: config}
	if image, err = setConfig(image, file); err != nil {
		return false, err
	}
	temporary := output + ".new"
	if err := tarball.WriteToFile(temporary, tag, image); err != nil {
		return false, fmt.Errorf("write the image: %w", err)
	}
	if err := os.Rename(temporary, output); err != nil {
		return false, fmt.Errorf("write the image: %w", err)
	}
	return true, nil
}

func setConfig(image v1.Image, file *v1.ConfigFile) (v1.Image, error) {
	have, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	file.RootFS = have.RootFS
	image, err = mutate.ConfigFile(image, file)
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	return image, nil
}

func upToDate(output string, tag name.Tag, inputs string) bool {
	image, err := tarball.ImageFromPath(output, &tag)
	if err != nil {
		return false
	}
	config, err := image.ConfigFile()
	return err == nil && config.Config.Labels[inputsLabel] == inputs
}

// complete sorts the entries, adds missing parent folders, and refuses two entries of one name.
func complete(entries []Entry) ([]Entry, error) {
	byPath := map[string]Entry{}
	for _, entry := range entries {
		if !path.IsAbs(entry.Path) || path.Clean(entry.Path) != entry.Path {
			return nil, fmt.Errorf("%q is not a clean absolute path", entry.Path)
		}
		if _, twice := byPath[entry.Path]; twice {
			return nil, fmt.Errorf("%s is in the image twice", entry.Path)
		}
		byPath[entry.Path] = entry
	}
	for _, entry := range entries {
		for parent := path.Dir(entry.Path); parent != "/"; parent = path.Dir(parent) {
			if _, ok := byPath[parent]; !ok {
				byPath[parent] = Entry{Path: parent, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	sorted := make([]Entry, 0, len(byPath))
	for _, entry := range byPath {
		sorted = append(sorted, entry)
	}
	// A folder's name is shorter than the names in it, so it comes first.
	slices.SortFunc(sorted, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return sorted, nil
}

// digest covers the names, owners, modes and contents of all entries, and the configuration.
func digest(spec Spec, entries []Entry) (string, error) {
	hash := sha256.New()
	config, err := json.Marshal(spec.Config)
	if err != nil {
		return "", fmt.Errorf("encode the image configuration: %w", err)
	}
	fmt.Fprintf(hash, "%s %s\n", architecture, config)
	for _, entry := range entries {
		content, err := entry.open()
		if err != nil {
			return "", err
		}
		inner := sha256.New()
		_, err = io.Copy(inner, content)
		content.Close()
		if err != nil {
			return "", fmt.Errorf("read %s: %w", entry.Source, err)
		}
		fmt.Fprintf(hash, "%q %o %d %d %q %x\n", entry.Path, entry.Mode, entry.UID, entry.GID, entry.Link, inner.Sum(nil))
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func (e Entry) open() (io.ReadCloser, error) {
	if e.Source == "" {
		return io.NopCloser(bytes.NewReader(e.Content)), nil
	}
	file, err := os.Open(e.Source)
	if err != nil {
		return nil, fmt.Errorf("read a file for the image: %w", err)
	}
	return file, nil
}

// openLayer streams the layer's archive; the writer stops when the reader is closed.
func openLayer(entries []Entry) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeLayer(writer, entries)) }()
	return reader
}

func writeLayer(out io.Writer, entries []Entry) error {
	archive := tar.NewWriter(out)
	for _, entry := range entries {
		if err := writeEntry(archive, entry); err != nil {
			return err
		}
	}
	return archive.Close()
}

func writeEntry(archive *tar.Writer, entry Entry) error {
	header := &tar.Header{
		Name: strings.TrimPrefix(entry.Path, "/"), Mode: int64(entry.Mode.Perm()), Uid: entry.UID, Gid: entry.GID,
		ModTime: time.Unix(0, 0), Format: tar.FormatPAX, Typeflag: tar.TypeReg,
	}
	if entry.Mode&fs.ModeSticky != 0 {
		header.Mode |= 0o1000
	}
	switch {
	case entry.Mode.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return archive.WriteHeader(header)
	case entry.Mode&fs.ModeSymlink != 0:
		header.Typeflag, header.Linkname = tar.TypeSymlink, entry.Link
		return archive.WriteHeader(header)
	}
	header.Size = int64(len(entry.Content))
	if entry.Source != "" {
		info, err := os.Stat(entry.Source)
		if err != nil {
			return fmt.Errorf("read a file for the image: %w", err)
		}
		header.Size = info.Size()
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	content, err := entry.open()
	if err != nil {
		return err
	}
	defer content.Close()
	if _, err := io.Copy(archive, content); err != nil {
		return fmt.Errorf("read %s: %w", entry.Source, err)
	}
	return nil
}

// ErrNotStatic is returned for a program that would need libraries that the image does not have.
var ErrNotStatic = errors.New("not a static binary: build it with CGO_ENABLED=0")
