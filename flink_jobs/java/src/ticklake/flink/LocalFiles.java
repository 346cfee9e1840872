package ticklake.flink;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/**
 * Hadoop's local file system, without a process and a checksum file for each file. Without its native
 * library Hadoop starts `chmod` whenever it makes one, and a commit of Iceberg makes four. Parquet and
 * Avro have checksums of their own, and nothing else that reads the lake looks at Hadoop's.
 *
 * <p>For a warehouse on a local disk: {@code flink.hadoop.fs.file.impl} in Flink's configuration.
 */
public final class LocalFiles extends RawLocalFileSystem {

    @Override
    public String getScheme() {
        return "file";
    }

    @Override
    public void setPermission(Path path, FsPermission permission) throws IOException {
        if (permission.getStickyBit()) {
            super.setPermission(path, permission);
            return;
        }
        Files.setPosixFilePermissions(
                pathToFile(path).toPath(), PosixFilePermissions.fromString(permission.toString()));
    }
}
