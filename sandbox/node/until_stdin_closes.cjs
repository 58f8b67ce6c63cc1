// Ends this process when its standard input does: should the parent die without a word, it ends as well.
process.stdin.on('end', () => process.exit(0)).resume();
