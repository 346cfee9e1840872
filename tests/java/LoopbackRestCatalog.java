import java.io.File;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.Map;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.Files;
import org.apache.iceberg.catalog.Catalog;
import org.apache.iceberg.io.FileIO;
import org.apache.iceberg.io.InputFile;
import org.apache.iceberg.io.OutputFile;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/**
 * Apache's reference REST catalog on loopback: its own main binds every interface, without a login.
 *
 * <p>Arguments: port, folder for the tables and for the catalog's own SQLite file.
 */
public final class LoopbackRestCatalog {
    private LoopbackRestCatalog() {}

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        String folder = arguments[1];
        Map<String, String> properties =
                Map.of(
                        "uri", "jdbc:sqlite:" + folder + "/catalog.sqlite",
                        "jdbc.schema-version", "V1",
                        // one connection: commits to several tables at once find SQLite busy
                        "clients", "1",
                        "io-impl", LocalFiles.class.getName(),
                        "warehouse", "file://" + folder + "/warehouse");
        Catalog catalog =
                CatalogUtil.loadCatalog(
                        "org.apache.iceberg.jdbc.JdbcCatalog", "lake", properties, null);
        ServletContextHandler context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
        context.addServlet(
                new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
        Server server = new Server(new InetSocketAddress("127.0.0.1", port));
        server.setHandler(context);
        server.start();
        server.join();
    }

    /** Local files without Hadoop, whose version in the server's jar does not run on Java 25. */
    public static final class LocalFiles implements FileIO {
        @Override
        public InputFile newInputFile(String path) {
            return Files.localInput(file(path));
        }

        @Override
        public OutputFile newOutputFile(String path) {
            return Files.localOutput(file(path));
        }

        @Override
        public void deleteFile(String path) {
            file(path).delete();
        }

        private static File file(String path) {
            return path.startsWith("file:") ? new File(URI.create(path).getPath()) : new File(path);
        }
    }
}
