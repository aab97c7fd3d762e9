package dbbackend_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	dbbackend "gotimeout/internal/backends/db"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a connection pool to the embedded database, with the login user.
func open(t *testing.T, addr, user string) *sql.DB {
	t.Helper()
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = user, "tcp", addr, "any"
	config.Logger = log.New(io.Discard, "", 0) // the driver logs each connection that a test has closed
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// ask returns the single value of a statement, or the error as MySQL's client prints it.
func ask(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string) string {
	var value string
	err := db.QueryRowContext(ctx, query).Scan(&value)
	if e := (*mysql.MySQLError)(nil); errors.As(err, &e) {
		return fmt.Sprintf("%d (%s) %s", e.Number, e.SQLState, e.Message)
	}
	if err != nil {
		return err.Error()
	}
	return value
}

func TestStatements(t *testing.T) {
	t.Parallel()
	r := backendtest.NewRuns()
	o := r.Options()
	o.MaxDelay = 2 * time.Second
	s := backendtest.Start(t, dbbackend.Start, o)
	db := open(t, s.Addr, "lab")
	const (
		timeout    = "3024 (HY000) Query execution was interrupted, maximum statement execution time exceeded"
		stopped    = "1969 (70100) Query execution was interrupted (max_statement_time exceeded)"
		understood = "1064 (42000) This database understands only: SELECT 1; SELECT SLEEP(seconds);"
	)
	for query, want := range map[string]string{
		"SELECT 1":                                  "1",
		"select -42 ;":                              "-42",
		"SELECT 99999999999999999999":               "1064 (42000) This database's integers have 64 bits",
		"SELECT SLEEP(0)":                           "0",
		"Select Sleep ( 0.01 )":                     "0",
		"SELECT SLEEP(2.1)":                         "1210 (HY000) Incorrect arguments to sleep: 2.1s is over this database's cap of 2s",
		"SELECT SLEEP(1.2.3)":                       "1210 (HY000) Incorrect arguments to sleep",
		"SELECT BENCHMARK(5000, MD5('a'))":          "0",
		"SELECT BENCHMARK(99999999999999999999, 1)": "1210 (HY000) Incorrect arguments to benchmark",
		"SELECT BENCHMARK(1000000000000, 1)":        timeout, // after MaxDelay
		"SELECT /*+ MAX_EXECUTION_TIME(20) */ BENCHMARK(1000000000000, 1)":                          timeout,
		"SELECT /*+ MAX_EXECUTION_TIME(20) */ SLEEP(0.3)":                                           "1",
		"SELECT /*+ MAX_EXECUTION_TIME(2000) */ SLEEP(0.01)":                                        "0",
		"SET STATEMENT max_statement_time=0.02 FOR SELECT SLEEP(0.3)":                               stopped,
		"SET STATEMENT sql_mode='', max_statement_time=0.02 FOR SELECT BENCHMARK(1000000000000, 1)": "0",
		"SET STATEMENT max_execution_time=20 FOR SELECT SLEEP(0.3)":                                 "1",
		"SET STATEMENT max_statement_time=never FOR SELECT 1":                                       "1232 (42000) Incorrect argument type to variable 'max_statement_time'",
		"SELECT VERSION()":                             "8.0.11-gotimeout",
		"SELECT 1 /* gotimeout run=tagged */":          "1",
		"SELECT SLEEP(0.01) /* gotimeout run=slow */":  "0",
		"DROP TABLE /* gotimeout run=refused */ users": understood,
		"":                       understood,
		"SELECT SLEEP(1), 1":     understood,
		"KILL 4294967295":        "1094 (HY000) Unknown thread id: 4294967295",
		"KILL QUERY 99999999999": "1094 (HY000) Unknown thread id: 99999999999",
	} {
		if got := ask(t.Context(), db, query); got != want && !(want == understood && strings.HasPrefix(got, want)) {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
	r.Balanced(t, "tagged", "slow", "refused")
	if _, err := db.Exec("SET NAMES utf8mb4"); err != nil {
		t.Error(err)
	}
	if got := ask(t.Context(), db, "SELECT CONNECTION_ID()"); got < "10001" {
		t.Errorf("CONNECTION_ID() = %s", got)
	}
}

// A prepared statement does what the same statement does as text, with the same errors.
func TestPreparedStatements(t *testing.T) {
	s := backendtest.Start(t, dbbackend.Start, backends.Options{MaxDelay: time.Minute})
	db := open(t, s.Addr, "lab")
	for query, test := range map[string]struct {
		args []any
		want string
	}{
		"SELECT ?":                     {[]any{7}, "7"},
		"SELECT SLEEP(?)":              {[]any{0.01}, "0"},
		"SELECT SLEEP(?) /* what? */ ": {[]any{"0.01"}, "0"},
		"SELECT /*+ MAX_EXECUTION_TIME(20) */ SLEEP(?)":           {[]any{30}, "1"},
		"SELECT BENCHMARK(?, MD5('?'))":                           {[]any{[]byte("1000")}, "0"},
		"SELECT @@version":                                        {nil, "8.0.11-gotimeout"},
		"SET STATEMENT max_statement_time=? FOR SELECT SLEEP(30)": {[]any{0.02}, "1969 (70100) Query execution was interrupted (max_statement_time exceeded)"},
		"SELECT SLEEP(? )":                                        {[]any{"it's \\"}, "1064"},
		"DROP TABLE ?":                                            {[]any{1}, "1064"},
	} {
		for range 2 { // the connection goes on after an error
			var got string
			err := db.QueryRowContext(t.Context(), query, test.args...).Scan(&got)
			if e := (*mysql.MySQLError)(nil); errors.As(err, &e) {
				got = fmt.Sprintf("%d (%s) %s", e.Number, e.SQLState, e.Message)
			} else if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			if got != test.want && !(test.want == "1064" && strings.HasPrefix(got, test.want)) {
				t.Errorf("%s %v\n got %s\nwant %s", query, test.args, got, test.want)
			}
		}
	}
}

// Drivers and pools send these when they connect, and around a transaction.
func TestSession(t *testing.T) {
	s := backendtest.Start(t, dbbackend.Start, backends.Options{})
	c, id := connect(t, open(t, s.Addr, "lab"))
	tx, err := c.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelReadCommitted})
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t.Context(), tx, "SELECT 1"); got != "1" || tx.Commit() != nil {
		t.Errorf("in a transaction: %s", got)
	}
	for query, want := range map[string]string{
		"SELECT @@max_allowed_packet":            "67108864",
		"select @@version_comment limit 1":       "the stand-in of goTimeout",
		"SELECT @@session.tx_isolation AS level": "REPEATABLE-READ",
		"SELECT @@sql_mode":                      "",
		"SELECT @@max_execution_time":            "0",
		"SELECT @@nonesuch":                      "1193 (HY000) Unknown system variable 'nonesuch'",
		"SELECT @@version, 1":                    "1064",
		"SELECT DATABASE()":                      "any",
		"BEGIN":                                  "", "START TRANSACTION READ ONLY": "", "ROLLBACK": "", "COMMIT": "", "DO 0": "", "USE any": "",
		"SET NAMES utf8mb4": "", "SET autocommit=1": "",
	} {
		got := ask(t.Context(), c, query)
		if got == sql.ErrNoRows.Error() {
			got = ""
		}
		if got != want && !(want == "1064" && strings.HasPrefix(got, want)) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	var a, b string
	if err := c.QueryRowContext(t.Context(), "SELECT @@version, @@time_zone zone").Scan(&a, &b); err != nil || b != "SYSTEM" {
		t.Errorf("two variables: %s, %s, %v", a, b, err)
	}
	if got := ask(t.Context(), c, "SELECT CONNECTION_ID()"); got != id {
		t.Errorf("another session answers: %s", got)
	}
}

// The limits of a session hold for each later statement, as on MySQL and MariaDB, or are refused.
func TestSessionLimits(t *testing.T) {
	t.Parallel()
	s := backendtest.Start(t, dbbackend.Start, backends.Options{MaxDelay: time.Minute})
	const (
		sleep, bench = "SELECT SLEEP(30)", "SELECT BENCHMARK(1000000000000, 1)"
		mysqls       = "3024 (HY000) Query execution was interrupted, maximum statement execution time exceeded"
		mariadbs     = "1969 (70100) Query execution was interrupted (max_statement_time exceeded)"
		super        = "1227 (42000) Access denied; you need (at least one of) the SUPER or SYSTEM_VARIABLES_ADMIN privilege(s) for this operation"
	)
	for set, want := range map[string][]string{
		"SET SESSION max_execution_time=20":                                               {"", "1", mysqls},
		"SET @@max_execution_time := 20, max_statement_time = DEFAULT":                    {"", "1", mysqls},
		"SET NAMES utf8mb4, @@session.MAX_STATEMENT_TIME = 0.02":                          {"", mariadbs, "0"},
		"SET SESSION /*!50708 max_execution_time=20 *//*M!100101 max_statement_time=9 */": {"", "1", mysqls},
		"SET SESSION max_execution_time=20 /*!99999 , max_statement_time=x */":            {"", "1", mysqls},
		"SET GLOBAL max_execution_time=20":                                                {super},
		"SET @@global.max_statement_time=20":                                              {super},
		"SET max_execution_time=0.5":                                                      {"1232 (42000) Incorrect argument type to variable 'max_execution_time'"},
		"SET max_statement_time=-1":                                                       {"1231 (42000) Variable 'max_statement_time' can't be set to the value of '-1'"},
	} {
		t.Run(set, func(t *testing.T) {
			c, _ := connect(t, open(t, s.Addr, "lab"))
			for i, statement := range []string{set, sleep, bench}[:len(want)] {
				got := ask(t.Context(), c, statement)
				if got == sql.ErrNoRows.Error() {
					got = "" // SET has no rows
				}
				if got != want[i] {
					t.Errorf("%s: %q, want %q", statement, got, want[i])
				}
			}
		})
	}
	c, _ := connect(t, open(t, s.Addr, "lab"))
	for _, set := range []string{"SET max_execution_time=20", "SET max_execution_time=0"} {
		if _, err := c.ExecContext(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t.Context(), c, "SELECT SLEEP(0.1)"); got != "0" {
		t.Errorf("without a limit: %s", got)
	}
}

func TestOnlyLabMayEnter(t *testing.T) {
	s := backendtest.Start(t, dbbackend.Start, backends.Options{})
	if err := open(t, s.Addr, "lab").Ping(); err != nil {
		t.Error(err)
	}
	for login, with := range map[string]string{"root": "NO", "root:secret": "YES", "lab:secret": "YES"} {
		user, password, _ := strings.Cut(login, ":")
		config := mysql.NewConfig()
		config.User, config.Passwd, config.Net, config.Addr = user, password, "tcp", s.Addr
		connector, err := mysql.NewConnector(config)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		var denied *mysql.MySQLError
		if err := db.Ping(); !errors.As(err, &denied) || denied.Number != 1045 || !strings.HasSuffix(denied.Message, "(using password: "+with+")") {
			t.Errorf("%s: %v", login, err)
		}
	}
}

// A client that connects and sends nothing is disconnected after the handshake's timeout. An empty packet, on which go-mysql
// panics, closes only the connection of its sender.
func TestDBSurvivesBadClients(t *testing.T) {
	s, err := dbbackend.StartWith(backends.Options{}, time.Second, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, send := range []string{"", "\x00\x00\x00\x01", "\x00\x00\x00\x00", "GET / HTTP/1.1\r\n\r\n"} {
		if _, err := io.Copy(io.Discard, backendtest.Talk(t, s.Addr, send)); backendtest.IsTimeout(err) {
			t.Errorf("%q: %v", send, err)
		}
	}

	raw := login(t, s.Addr)
	raw.Write([]byte{0, 0, 0, 0})
	if _, err := raw.Read(make([]byte, 1)); err == nil || backendtest.IsTimeout(err) {
		t.Errorf("after an empty packet: %v", err)
	}
	if err := open(t, s.Addr, "lab").Ping(); err != nil {
		t.Error(err)
	}
}

// login logs in without a driver, so that a test can send bytes that no driver sends.
func login(t *testing.T, addr string) net.Conn {
	t.Helper()
	c := backendtest.Talk(t, addr, "")
	buf := make([]byte, 4096)
	if _, err := c.Read(buf); err != nil {
		t.Fatal(err)
	}
	const protocol41, secureConnection, pluginAuth = 0x200, 0x8000, 0x80000
	flags := uint32(protocol41 | secureConnection | pluginAuth)
	body := []byte{byte(flags), byte(flags >> 8), byte(flags >> 16), 0, 0, 0, 0, 1, 33}
	body = append(body, make([]byte, 23)...)
	body = append(body, "lab\x00\x00mysql_native_password\x00"...)
	c.Write(append([]byte{byte(len(body)), 0, 0, 1}, body...))
	if n, err := c.Read(buf); err != nil || n < 5 || buf[4] != 0 {
		t.Fatalf("login: %q, %v", buf[:n], err)
	}
	return c
}

// The database answers the commands that do no work. It refuses all others but queries.
func TestDBCommands(t *testing.T) {
	s := backendtest.Start(t, dbbackend.Start, backends.Options{})
	c := login(t, s.Addr)
	const ok, refused = 0x00, 0xff
	for name, x := range map[string]struct {
		command string
		want    byte
	}{
		"COM_PING":             {"\x0e", ok},
		"COM_INIT_DB":          {"\x02other", ok},
		"COM_FIELD_LIST":       {"\x04t\x00%", refused},
		"COM_RESET_CONNECTION": {"\x1f", ok},
		"COM_CHANGE_USER":      {"\x11lab\x00\x00other\x00", ok},
		"COM_CHANGE_USER cut":  {"\x11lab\x00\x09o", refused},
		"COM_PROCESS_KILL":     {"\x0c\xff\xff\xff\xff", refused},
		"COM_PROCESS_KILL cut": {"\x0c\xff", refused},
		"COM_STATISTICS":       {"\x09", refused},
	} {
		c.Write(append([]byte{byte(len(x.command)), 0, 0, 0}, x.command...))
		answer := make([]byte, 256)
		if n, err := c.Read(answer); err != nil || n < 5 || answer[4] != x.want {
			t.Errorf("%s: %q, %v", name, answer[:n], err)
		}
	}
}

// COM_CHANGE_USER makes the session a new one, or ends it. COM_PROCESS_KILL ends another session.
func TestChangeUserAndProcessKill(t *testing.T) {
	s := backendtest.Start(t, dbbackend.Start, backends.Options{MaxDelay: time.Minute})
	c := login(t, s.Addr)
	say := func(command string) (answer []byte) { // the packets of the answer: one, or rows between two ends
		c.Write(append([]byte{byte(len(command)), 0, 0, 0}, command...))
		for ends := 0; ends < 2; {
			packet := make([]byte, 4, 1024)
			if _, err := io.ReadFull(c, packet); err != nil {
				return answer
			}
			packet = packet[:4+packet[0]]
			if _, err := io.ReadFull(c, packet[4:]); err != nil {
				return answer
			}
			first := len(answer) == 0
			answer = append(answer, packet...)
			if kind := packet[4]; first && (kind == 0 || kind == 0xff) {
				return answer
			} else if kind == 0xfe {
				ends++
			}
		}
		return answer
	}
	say("\x03SET max_execution_time=7")
	if got := say("\x03SELECT @@max_execution_time"); !strings.Contains(string(got), "\x017\x05") {
		t.Errorf("the limit of the session: %q", got)
	}
	say("\x11lab\x00\x00other\x00")
	if got := say("\x03SELECT @@max_execution_time"); !strings.Contains(string(got), "\x010\x05") {
		t.Errorf("the limit after COM_CHANGE_USER: %q", got)
	}
	if got := say("\x03SELECT DATABASE()"); !strings.Contains(string(got), "\x05other") {
		t.Errorf("the database after COM_CHANGE_USER: %q", got)
	}
	victim, id := connect(t, open(t, s.Addr, "lab"))
	n, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	if got := say("\x0c" + string(binary.LittleEndian.AppendUint32(nil, uint32(n)))); len(got) < 5 || got[4] != 0 {
		t.Errorf("COM_PROCESS_KILL: %q", got)
	}
	if got := ask(t.Context(), victim, "SELECT 1"); got == "1" {
		t.Error("the killed session answers")
	}
	if got := say("\x11root\x00\x00\x00"); !strings.Contains(string(got), "Access denied for user 'root'") {
		t.Errorf("COM_CHANGE_USER to root: %q", got)
	}
	if got := say("\x0e"); len(got) > 0 {
		t.Errorf("the refused session answers: %q", got)
	}
}

func TestParseStatement(t *testing.T) {
	type parsed struct {
		text, run string
		limit     time.Duration
	}
	for sql, want := range map[string]parsed{
		"":                                        {},
		" select\n\t1 ; ;":                        {text: "select 1"},
		"SELECT/**/1":                             {text: "SELECT 1"},
		"SELECT 1 -- one":                         {text: "SELECT 1"},
		"SELECT 1 # one\n+ 1":                     {text: "SELECT 1 + 1"},
		"SELECT 2--1":                             {text: "SELECT 2--1"},
		"SELECT '/* gotimeout run=7":              {text: "SELECT '/* gotimeout run=7"},
		`SELECT 'it\'s -- ''x'`:                   {text: `SELECT 'it\'s -- ''x'`},
		"/* gotimeout run=7 */ SELECT 1":          {text: "SELECT 1", run: "7"},
		"SELECT 1 /*gotimeout run=a-b_7*/":        {text: "SELECT 1", run: "a-b_7"},
		"SELECT 1 /* gotimeout run=":              {text: "SELECT 1"},
		"SELECT /*+ MAX_EXECUTION_TIME(250) */ 1": {text: "SELECT 1", limit: 250 * time.Millisecond},
		"/* gotimeout run=7 */ select /*+ max_execution_time( 1 ) */ 1":     {text: "select 1", run: "7", limit: time.Millisecond},
		"/*+ MAX_EXECUTION_TIME(250) */ SELECT 1":                           {text: "SELECT 1"},
		"SELECT 1 /*+ MAX_EXECUTION_TIME(250) */":                           {text: "SELECT 1"},
		"SELECT /*+ MAX_EXECUTION_TIME(soon) */ 1":                          {text: "SELECT 1"},
		"SELECT /* MAX_EXECUTION_TIME(250) */ 1":                            {text: "SELECT 1"},
		"SELECT /* gotimeout run=7 */ /*+ MAX_EXECUTION_TIME(250) */ 1 /**": {text: "SELECT 1", run: "7", limit: 250 * time.Millisecond},
	} {
		var got parsed
		got.text, got.run, got.limit = dbbackend.ParseStatement(sql)
		if got != want {
			t.Errorf("%q: %+v, want %+v", sql, got, want)
		}
	}
}

func FuzzParseStatement(f *testing.F) {
	f.Add("/* gotimeout run=7 */ SELECT /*+ MAX_EXECUTION_TIME(250) */ SLEEP(1) -- 'x'\n;")
	f.Fuzz(func(t *testing.T, sql string) {
		text, run, _ := dbbackend.ParseStatement(sql)
		if len(text) > len(sql)+1 || strings.ContainsAny(run, " \n*") {
			t.Errorf("%q: text %q, run %q", sql, text, run)
		}
	})
}

// packet is a packet of MySQL's protocol.
func packet(number byte, body string) string {
	n := len(body)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), number}) + body
}

// Whatever a client sends, before its login or after, all its queries end, and the answers are whole packets.
func FuzzMySQLConnection(f *testing.F) {
	s := backendtest.Start(f, func(o backends.Options) (*backends.Server, error) { return backends.Listen("db", o) }, backends.Options{})
	serve := dbbackend.Serve(s, time.Millisecond)
	const capabilities = 1<<9 | 1<<15 | 1<<19 // CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION and CLIENT_PLUGIN_AUTH
	login := packet(1, string(binary.LittleEndian.AppendUint32(nil, capabilities))+"\x00\x00\x00\x01\x2d"+strings.Repeat("\x00", 23)+"lab\x00\x00mysql_native_password\x00")
	command := func(all ...string) (sent string) {
		for _, body := range all {
			sent += packet(0, body)
		}
		return sent
	}
	for _, sent := range []string{
		command("\x03SELECT 1", "\x03/* gotimeout run=7 */ SELECT /*+ MAX_EXECUTION_TIME(1) */ SLEEP(0.0001)", "\x03SELECT SLEEP(9)", "\x0e", "\x01"),
		command("\x03SHOW PROCESSLIST", "\x03SET max_execution_time = 5", "\x03SELECT @@max_execution_time, @@version", "\x03KILL QUERY 1", "\x03KILL 10001", "\x03SELECT 1"),
		command("\x03SELECT BENCHMARK(10, MD5(1))", "\x03BEGIN", "\x03COMMIT", "\x02other", "\x03"),
		command("\x16SELECT SLEEP(?)", "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x03\x00\x00\x00\x00\x00", "\x19\x01\x00\x00\x00", "\x1f"),
		command("\x11lab\x00\x00any\x00", "\x11root\x00\x05", "\x0c\x01\x00\x00\x00", "\x0c"),
		command("\x04t\x00", "\x1b\x00\x00", "\xff"), command(""), "\xff\xff\xff\x00", "\x01",
	} {
		f.Add(login, sent)
	}
	f.Add("", "")
	f.Add(packet(1, "\x00\x00\x00\x00"), "")
	f.Add(strings.Replace(login, "lab", "you", 1), command("\x03SELECT 1"))
	f.Fuzz(func(t *testing.T, login, sent string) {
		c := backendtest.NewScript([]byte(login + sent))
		serve(c)
		if jobs := s.Working(); len(jobs) > 0 {
			t.Errorf("works on %v", jobs)
		}
		for answers := c.Answers(); len(answers) > 0; {
			if len(answers) < 4 {
				t.Fatalf("half a packet in %q", c.Answers())
			}
			n := 4 + int(answers[0]) + int(answers[1])<<8 + int(answers[2])<<16
			if n > len(answers) {
				t.Fatalf("half a packet in %q", c.Answers())
			}
			answers = answers[n:]
		}
	})
}
