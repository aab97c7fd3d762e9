package replay

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"gotimeout/internal/backends"
	dbbackend "gotimeout/internal/backends/db"
)

func mysqlDrain() Experiment {
	return Experiment{
		ID: "mysql-drain", Title: "the end of a result is awaited without the context",
		Issues:   []string{"https://github.com/go-sql-driver/mysql/blob/v1.10.1/rows.go#L102-L125"},
		Reported: "rows.Close reads the rest of a result, so that its connection can be used again. The driver has ended its watch on the context by then, so QueryRow's Scan, which reads a row and closes, can take any time.",
		Does:     "The network passes the row of a result and holds the end of the result for 4 s. QueryRowContext has a context of 1 s.",
		Remedy:   "readTimeout in the DSN, which bounds each read of the connection: 1 s here.",
		run:      replayDrain,
	}
}

func replayDrain(_ context.Context, remedy bool) (o Outcome, err error) {
	const held = 4 * time.Second
	server, err := dbbackend.Start(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		return o, err
	}
	var hold atomic.Bool
	addr, err := holdResults(server.Addr, held, &hold)
	if err != nil {
		return o, err
	}
	db, err := openMySQL(addr, func(config *mysql.Config) {
		if remedy {
			config.ReadTimeout = held / 4
		}
	})
	if err != nil {
		return o, err
	}
	if _, err := query(db, 0, "SELECT 1"); err != nil { // the pool now has a connection
		return o, err
	}
	hold.Store(true)
	began := time.Now()
	_, err = query(db, held/4, "SELECT 1")
	took := time.Since(began)
	return Outcome{
		Saw:        fmt.Sprintf("The call returned after %s: %s.", sec(took), withoutAddresses(err)),
		Reproduced: took > held/2,
	}, nil
}

// holdResults passes connections on to a MySQL server. While hold is set it delays the last packet
// of each result, behind the number of columns, a column and a row.
func holdResults(server string, delay time.Duration, hold *atomic.Bool) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	pass := func(client net.Conn) {
		defer client.Close()
		up, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { _, _ = io.Copy(up, client) }()
		for head := make([]byte, 4); ; {
			if _, err := io.ReadFull(up, head); err != nil {
				return
			}
			packet := make([]byte, 4+int(binary.LittleEndian.Uint32(append(head[:3:3], 0))))
			copy(packet, head)
			if _, err := io.ReadFull(up, packet[4:]); err != nil {
				return
			}
			const last, number = 0xfe, 4 // packets are numbered; the third may be the end of the columns
			if hold.Load() && head[3] >= number && packet[4] == last {
				time.Sleep(delay)
			}
			if _, err := client.Write(packet); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go pass(client)
		}
	}()
	return l.Addr().String(), nil
}
