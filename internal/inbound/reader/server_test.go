package reader

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Whoever reaches the port can begin a request, and need not end it.
func TestNobodyIsWaitedForWhoPromisesABody(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = Server(t.Context(), (&rights{now: time.Unix(1e9, 0)}).gate(t))
	server.Start()
	defer server.Close()
	for _, request := range []string{
		"GET /v1/inventory HTTP/1.1\r\nHost: reader\r\nContent-Length: 10\r\n\r\n",
		"GET /v1/inventory HTTP/1.1\r\nHost: reader\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /nowhere HTTP/1.1\r\nHost: reader\r\nContent-Length: 10\r\n\r\n",
	} {
		func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			// It would be for ever.
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			answer, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Errorf("%q is not answered: %v", request, err)
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			if _, err := in.ReadByte(); answer.StatusCode != http.StatusBadRequest || err != io.EOF {
				t.Errorf("%q: %s, and then %v", request, answer.Status, err)
			}
		}()
	}
}
