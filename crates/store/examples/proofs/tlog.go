// The floor of making proofs: golang.org/x/mod/sumdb/tlog over hashes held in memory.
//
//	tlog ENTRIES PROOFS
//
// Prints how many inclusion proofs it makes in a second of processor time.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/mod/sumdb/tlog"
)

type memory []tlog.Hash

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		all[i] = (*m)[index]
	}
	return all, nil
}

func processor() float64 {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func main() {
	size, _ := strconv.ParseInt(os.Args[1], 10, 64)
	proofs, _ := strconv.ParseInt(os.Args[2], 10, 64)
	var hashes memory
	for n := int64(0); n < size; n++ {
		var leaf [33]byte
		binary.BigEndian.PutUint64(leaf[:], uint64(n))
		stored, err := tlog.StoredHashes(n, leaf[:], &hashes)
		if err != nil {
			panic(err)
		}
		hashes = append(hashes, stored...)
	}
	before := processor()
	at := uint64(1)
	for n := int64(0); n < proofs; n++ {
		at = at*6364136223846793005 + 1442695040888963407
		if _, err := tlog.ProveRecord(size, int64(at%uint64(size)), &hashes); err != nil {
			panic(err)
		}
	}
	fmt.Println(float64(proofs) / (processor() - before))
}
