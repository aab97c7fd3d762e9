package private

import (
	"encoding/json"
	"strings"
	"testing"
)

// The outside takes any packet of the inside: a dial has one answer, with its number, and reaches no server that was not
// named; a refusal is handed on; and what can't be read ends the conversation.
func FuzzAnswer(f *testing.F) {
	for _, packet := range []string{
		`{"ready":true}`, `{"refused":"no TUN"}`, `{"dial":{"Network":"tcp","Addr":"127.0.0.1:1"},"id":7}`,
		`{"dial":{"Network":"ping","Addr":"nobody"},"id":9}`, `{"dial":{"Network":"unix","Addr":"/run/docker.sock"},"id":18446744073709551615}`,
		`{"signal":9}`, `{"id":-1}`, `null`, `[]`, `{"dial":`, "\x00",
	} {
		f.Add([]byte(packet))
	}
	named := Server{Ping, "nobody"} // it can be asked for, and no dial succeeds
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) == 0 || len(packet) > 32<<10 {
			t.Skip("no packet of ours")
		}
		outside, theirs, err := pair()
		if err != nil {
			t.Fatal(err)
		}
		defer outside.close()
		inside, err := open(theirs)
		if err != nil {
			t.Fatal(err)
		}
		defer inside.close()
		if _, err := inside.conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		if err := inside.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		ready := 0
		refused := outside.answer(Outside{Servers: []Server{named}}, func() { ready++ })
		outside.close()

		var m message
		if json.Unmarshal(packet, &m) != nil {
			m = message{}
		}
		dials := m.Refused == "" && !m.Ready && m.Dial != nil
		if refused != m.Refused || (ready == 1) != (m.Refused == "" && m.Ready) {
			t.Errorf("%s: refused %q, ready %d times", packet, refused, ready)
		}
		answer, file, err := inside.receive()
		if (err == nil) != dials || dials && (answer.ID != m.ID || answer.Error == "" || file != nil) {
			t.Errorf("%s: answered %+v, %v, %v", packet, answer, file, err)
		}
		if dials && (*m.Dial != named) != strings.Contains(answer.Error, "not one of the servers") {
			t.Errorf("%s: answered %q", packet, answer.Error)
		}
	})
}
