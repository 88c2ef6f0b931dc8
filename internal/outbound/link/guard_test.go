package link

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

func frameOf(kind byte, flags uint16, length uint32, body int) []byte {
	head := binary.BigEndian.AppendUint16([]byte{0, kind}, flags)
	head = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(head, 1), length)
	return append(head, make([]byte, body)...)
}

func TestTheGuardSeesFramesHoweverTheyArrive(t *testing.T) {
	var good []byte
	for n := range 200 {
		good = append(good, frameOf(frameData, 2, uint32(n), n)...)
		good = append(good, frameOf(1, 0, 1<<31, 0)...)
		good = append(good, frameOf(framePing, 2, 7, 0)...)
	}
	// What is in data looks like whatever it likes.
	good = append(good, frameOf(frameData, 0, 12, 0)...)
	good = append(good, frameOf(1, flagSYN, 0, 0)...)
	pings := func(n int) (all []byte) {
		for range n {
			all = append(all, frameOf(framePing, flagSYN, 7, 0)...)
		}
		return all
	}
	for _, c := range []struct {
		name string
		sent []byte
		want error
	}{
		{"what a connector sends", good, nil},
		{"a stream behind it", append(append([]byte{}, good...), frameOf(1, flagSYN, 0, 0)...), errStreamOfConnector},
		{"a stream with data", frameOf(frameData, flagSYN, 5, 5), errStreamOfConnector},
		{"a stream that is acknowledged too", frameOf(1, flagSYN|2, 0, 0), errStreamOfConnector},
		{"some pings", pings(pingBurst), nil},
		{"many pings", pings(10 * pingBurst), errPings},
	} {
		for range 50 {
			g := newGuard(nil)
			var err error
			for rest := c.sent; len(rest) > 0 && err == nil; {
				n := 1 + rand.IntN(min(len(rest), 40)) //nolint:gosec // Where a frame is cut.
				err = g.inspect(rest[:n])
				rest = rest[n:]
			}
			if !errors.Is(err, c.want) {
				t.Fatalf("%s: %v, want %v", c.name, err, c.want)
			}
		}
	}
}
