// Drains a UDP socket with ReadBatch of golang.org/x/net, which is recvmmsg, source addresses included.
//
// Run by tests/benchmarks/workers/peers.py, which says what stands on standard input and output.

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
)

const (
	batch = 64
	slot  = 2048
	// linux/time.h; of the process, because what is thrown away is collected by other threads.
	clockProcessCPUTime = 2
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cpuTime() int64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func main() {
	port, err := strconv.Atoi(os.Args[2])
	check(err)
	bufferSize, err := strconv.Atoi(os.Args[3])
	check(err)
	networkInterface, err := net.InterfaceByName(os.Args[4])
	check(err)
	group := &net.UDPAddr{IP: net.ParseIP(os.Args[1]), Port: port}
	sock, err := net.ListenMulticastUDP("udp4", networkInterface, group)
	check(err)
	check(sock.SetReadBuffer(bufferSize))
	connection := ipv4.NewPacketConn(sock)
	messages := make([]ipv4.Message, batch)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, slot)}
	}
	fmt.Println("ready")
	touched := 0
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		count, err := strconv.Atoi(commands.Text())
		check(err)
		var last uint64
		start := cpuTime()
		for count > 0 {
			most := batch
			if count < most {
				most = count
			}
			got, err := connection.ReadBatch(messages[:most], 0)
			check(err)
			for i := 0; i < got; i++ {
				touched += int(messages[i].Buffers[0][0]) + messages[i].N + messages[i].Addr.(*net.UDPAddr).Port
			}
			last = binary.BigEndian.Uint64(messages[got-1].Buffers[0])
			count -= got
		}
		fmt.Println(cpuTime()-start, last)
	}
}
